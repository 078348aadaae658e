"""Files that are written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import Errors

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file and make its folder; until it is whole, an older one stays. Raises OSError."""
    with replacing(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to instead: what is there afterwards becomes the file, unless there was
    an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with naming_full_disk(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """If the disk is full, raises an OSError that says what could not be written: Python's own
    doesn't."""
    try:
        yield
    except OSError as err:
        if err.errno not in FULL:
            raise
        message = Errors.S024.format(path=path, reason=err.strerror)
        raise OSError(message) from err
