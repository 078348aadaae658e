"""Shards of a corpus: DocBins of sentences and matches, written and read fast."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from srsly.msgpack import msgpack_decoders, msgpack_encoders

from .compressed import MAX_DATA, inflate, loads, read_bytes
from .errors import Errors


def empty_shard() -> DocBin:
    """A DocBin for words, blanks and span groups, which any DocBin saves."""
    return DocBin(attrs=["ORTH"])


def read_shard(path: Path, vocab: Vocab) -> list[Doc]:
    """All docs of a shard. Raises OSError, or ValueError (S323) if it is damaged."""
    try:
        with cached_msgpack_hooks():
            # Uncompressed, but in the form that from_bytes takes.
            content = inflate(read_bytes(path, MAX_DATA), MAX_DATA)
            loads(content)
            shard = DocBin().from_bytes(zlib.compress(content, level=0))
            docs = list(shard.get_docs(vocab))
        for doc in docs:
            _check_spans(doc)
        return docs
    except OSError:
        raise
    except Exception as err:
        raise ValueError(Errors.S323.format(path=path, error=err)) from err


def _check_spans(doc: Doc) -> None:
    """spaCy takes whatever bounds and labels a span group was saved with."""
    for group in doc.spans.values():
        for span in group:
            if not 0 <= span.start <= span.end <= len(doc):
                raise ValueError(f"a span of tokens {span.start} to {span.end}")
            # Raise KeyError if there is no such string.
            _ = span.label_, span.kb_id_


@contextmanager
def cached_msgpack_hooks() -> Iterator[None]:
    """Within it, Docs with span groups are saved and loaded ten times as fast.

    For every value it packs or unpacks, srsly searches the entry points of all
    installed packages for its hooks (catalogue.Registry.get_all), which takes a
    millisecond a Doc. Here the hooks found at first are kept.
    """
    registries = (msgpack_encoders, msgpack_decoders)
    for registry in registries:
        registry.get_all = registry.get_all().copy
    try:
        yield
    finally:
        for registry in registries:
            vars(registry).pop("get_all", None)
