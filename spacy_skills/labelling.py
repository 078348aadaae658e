"""Labels sentences by the names in them, in one process or several."""

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import cast

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from .errors import Errors
from .shards import cached_msgpack_hooks, empty_shard

PARTS = ("train", "dev", "unlabelled")
# Sentences sent to a process at a time.
CHUNK = 2000


def digest(value: bytes) -> str:
    """16 characters that change with it."""
    return blake2b(value, digest_size=8).hexdigest()


def empty_shards() -> dict[str, DocBin]:
    """Of each of the PARTS."""
    return {part: empty_shard() for part in PARTS}


@dataclass
class Labelled:
    """What became of some sentences: DocBins as bytes, and counts. pairs: (sentence, skill);
    train_counts: training sentences that name a skill, by URI."""

    sentences: int
    docs: dict[str, bytes]
    n_docs: dict[str, int]
    pairs: int
    train_counts: dict[str, int]


class Labeller:
    """Finds the names in sentences, and shares them out among the PARTS.

    nlp: with an `esco_matcher` that writes spans_key; shares: see ``corpus.build_corpus``.
    """

    def __init__(
        self,
        nlp: Language,
        spans_key: str,
        dev_share: float,
        unlabelled_share: float,
    ) -> None:
        self.nlp = nlp
        self.spans_key = spans_key
        self.dev_share = dev_share
        self.unlabelled_share = unlabelled_share

    def __call__(self, texts: list[str]) -> Labelled:
        shards = empty_shards()
        counts: Counter[str] = Counter()
        pairs = 0
        # The zone forgets the words of a chunk, or the vocabulary would grow for ever.
        with self.nlp.memory_zone(), cached_msgpack_hooks():
            for doc in self.nlp.pipe(texts):
                uris = {span.kb_id_ for span in doc.spans.get(self.spans_key, ())}
                part = self._part(doc, bool(uris))
                if part is not None:
                    shards[part].add(doc)
                pairs += len(uris)
                if part == "train":
                    counts.update(uris)
        return Labelled(
            sentences=len(texts),
            docs={part: shards[part].to_bytes() for part in PARTS},
            n_docs={part: len(shards[part]) for part in PARTS},
            pairs=pairs,
            train_counts=counts,
        )

    def _part(self, doc: Doc, labelled: bool) -> str | None:
        share = int(digest(doc.text.encode("utf8")), 16) / 2**64
        if not labelled:
            return "unlabelled" if share < self.unlabelled_share else None
        return "dev" if share < self.dev_share else "train"


def label(
    labeller: Labeller, sentences: Iterator[str], n_process: int
) -> Iterator[Labelled]:
    """Label the sentences, some at a time, in their order.

    `nlp.pipe(n_process=...)` sends every Doc through a pipe, this only DocBins of those
    with a match. Unlike Pool, the executor notices when a process was killed: RuntimeError (S315).
    """
    chunks = _chunks(sentences)
    if n_process <= 1:
        yield from map(labeller, chunks)
        return
    executor = ProcessPoolExecutor(
        n_process, initializer=_start_process, initargs=(labeller,)
    )
    pending: deque[Future[Labelled]] = deque()
    try:
        for chunk in chunks:
            pending.append(executor.submit(_run_in_process, chunk))
            if len(pending) > 2 * n_process:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(Errors.S315) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _chunks(sentences: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(sentences, CHUNK)):
        yield chunk


_labeller: Labeller | None = None


def _start_process(labeller: Labeller) -> None:
    global _labeller
    _labeller = labeller
    # Ctrl-C is for the parent, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process when its parent is killed, for which it would wait for ever."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    cast(multiprocessing.Process, multiprocessing.parent_process()).join()
    os._exit(1)


def _run_in_process(texts: list[str]) -> Labelled:
    return cast(Labeller, _labeller)(texts)
