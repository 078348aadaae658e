"""What ``nlp.pipe(n_process=2)`` needs where processes are forked: children have none of the threads
of their parent's pools."""

import os

import torch

# Where tokenizers look for it, and what it was before a fork.
PARALLELISM = "TOKENIZERS_PARALLELISM"
_parallelism: list[str | None] = []


def _before_fork() -> None:
    # Set to anything but this, the tokenizers would warn in the child, or wait as torch does.
    _parallelism.append(os.environ.get(PARALLELISM))
    os.environ[PARALLELISM] = "false"


def _after_fork() -> None:
    before = _parallelism.pop()
    if before is None:
        del os.environ[PARALLELISM]
    else:
        os.environ[PARALLELISM] = before


def _one_thread_after_fork() -> None:
    # A forked child that enters torch's thread pool waits for threads it did not inherit:
    # this is what makes nlp.pipe(n_process=2) hang.
    torch.set_num_threads(1)


# Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_one_thread_after_fork,
    )
