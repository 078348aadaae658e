"""Spans of ads for which somebody has judged which of some candidate skills they ask for.

A file is JSONL, plain or gzipped. Its first line is ``{"skills": [URI, …]}``, each further one
a span: ``{"sentence": TEXT, "start": 3, "end": 17, "chosen": [0], "rejected": [5, 2]}``, with
offsets in characters and the skills' places in the first line. Without ``start`` and ``end`` it
is the sentence as a whole, and ``"asks": false`` says that it asks for no skill whatsoever.
Where a text may not be passed on, ``"digest"`` stands in place of ``"sentence"``: that of a text that is one whole ad of the
ads at hand, as each sentence is in a corpus of sentences.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import srsly

from .errors import Errors
from .lines import MAX_HELD, Lines


class JudgedSpan(NamedTuple):
    """Characters start to end of the sentence, and URIs of its skills, the best first. What
    was rejected was a likely candidate; nothing may have been chosen. asks: for a skill that
    may not be among the candidates."""

    sentence: str
    start: int
    end: int
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    asks: bool = True

    @property
    def text(self) -> str:
        return self.sentence[self.start : self.end]


def sentence_digest(text: str) -> str:
    """16 characters that stand for a text of the ads."""
    return blake2b(text.encode("utf8", "surrogatepass"), digest_size=8).hexdigest()


def read_judged(
    path: Path, ads: Iterable[str] = ()
) -> tuple[list[JudgedSpan], list[str]]:
    """The spans, and the digests whose texts are not among the ads.

    Raises ValueError naming file and line for what can't be read, or if no text is found.
    """
    if not path.is_file():
        raise ValueError(Errors.S706.format(path=path))
    skills: list[str] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    lines = Lines(path, max_bytes=MAX_HELD)
    for line in lines:
        with _named(path, lines.number):
            row = srsly.json_loads(line)
            if lines.number == 1:
                skills = [str(uri) for uri in row["skills"]]
            else:
                rows.append((lines.number, _check(row, skills)))
    wanted = {row["digest"] for _, row in rows if "sentence" not in row}
    texts = _find(wanted, ads) if wanted else {}
    spans = []
    for number, row in rows:
        text = row.get("sentence", texts.get(row.get("digest", "")))
        if text is not None:
            with _named(path, number):
                spans.append(_span(row, text))
    if not spans:
        raise ValueError(Errors.S708.format(path=path, n=len(wanted)))
    return spans, sorted(wanted - set(texts))


@contextmanager
def _named(path: Path, line: int) -> Iterator[None]:
    """Errors in here name the file and the line."""
    try:
        yield
    except (IndexError, KeyError, TypeError, ValueError) as err:
        message = Errors.S707.format(path=path, line=line, reason=repr(err))
        raise ValueError(message) from None


def _check(row: dict[str, Any], skills: list[str]) -> dict[str, Any]:
    text = "sentence" if "sentence" in row else "digest"
    kinds: dict[str, type] = {text: str}
    if "asks" in row:
        kinds["asks"] = bool
    if "start" in row or "end" in row:
        kinds |= {"start": int, "end": int}
    for key, kind in kinds.items():
        if not isinstance(row[key], kind):
            raise TypeError(f"{key} is no {kind.__name__}")
    if min([0, *row["chosen"], *row["rejected"]]) < 0:
        raise IndexError("a skill's place is below 0")
    for key in ("chosen", "rejected"):
        row[key] = tuple(skills[place] for place in row[key])
    return row


def _span(row: dict[str, Any], text: str) -> JudgedSpan:
    start, end = row.get("start", 0), row.get("end", len(text))
    if not 0 <= start < end <= len(text):
        raise ValueError(f"the text has no characters {start} to {end}")
    asks = row.get("asks", True)
    return JudgedSpan(text, start, end, row["chosen"], row["rejected"], asks)


def _find(wanted: set[str], ads: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in ads:
        digest = sentence_digest(text)
        if digest in wanted:
            found[digest] = text
    return found
