"""Spans of ads for which somebody has judged which of some candidate skills they ask for.

A file is JSONL, plain or gzipped. Its first line is ``{"skills": [URI, …]}``, each further one
a span: ``{"sentence": TEXT, "start": 3, "end": 17, "chosen": [0], "rejected": [5, 2]}``, with
offsets in characters and the skills' places in the first line. Where a text may not be passed
on, ``"digest"`` stands in place of ``"sentence"``, and the text is looked for in the ads.
"""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import srsly

from .ads import Lines
from .errors import Errors


class JudgedSpan(NamedTuple):
    """Characters start to end of the sentence, and URIs of its skills, the best first. What
    was rejected was a likely candidate; nothing may have been chosen."""

    sentence: str
    start: int
    end: int
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]

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
    rows: list[dict[str, Any]] = []
    lines = Lines(path)
    for line in lines:
        try:
            row = srsly.json_loads(line)
            if lines.number == 1:
                skills = [str(uri) for uri in row["skills"]]
            else:
                rows.append(_check(row, skills))
        except (IndexError, KeyError, TypeError, ValueError) as err:
            raise ValueError(
                Errors.S707.format(path=path, line=lines.number, reason=repr(err))
            ) from None
    wanted = {row["digest"] for row in rows if "sentence" not in row}
    texts = _find(wanted, ads) if wanted else {}
    spans = [
        JudgedSpan(text, row["start"], row["end"], row["chosen"], row["rejected"])
        for row in rows
        if (text := row.get("sentence") or texts.get(row["digest"]))
    ]
    if not spans:
        raise ValueError(Errors.S708.format(path=path, n=len(wanted)))
    return spans, sorted(wanted - set(texts))


def _check(row: dict[str, Any], skills: list[str]) -> dict[str, Any]:
    start, end = int(row["start"]), int(row["end"])
    text = row.get("sentence")
    if text is None:
        row["digest"] = str(row["digest"])
    if not 0 <= start < end or (text is not None and end > len(text)):
        raise ValueError(f"no characters {start} to {end}")
    if min([0, *row["chosen"], *row["rejected"]]) < 0:
        raise IndexError("a skill's place is below 0")
    for key in ("chosen", "rejected"):
        row[key] = tuple(skills[place] for place in row[key])
    return row


def _find(wanted: set[str], ads: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in ads:
        digest = sentence_digest(text)
        if digest in wanted:
            found[digest] = text
    return found
