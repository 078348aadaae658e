"""What speaks for a skill in a sentence, and the skills that are best supported."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy
from spacy.tokens import Span

from .finder import NameFinder
from .taxonomy import Taxonomy

# A literal match of so many tokens counts in full.
FULL_MATCH = 3


class Candidate(NamedTuple):
    """One skill of one sentence: the evidence's tokens, the skill's row, a probability."""

    start: int
    end: int
    row: int
    score: float


class LiteralMatch(NamedTuple):
    """Tokens start to end name the skill; strength grows with their number, up to 1."""

    strength: float
    start: int
    end: int


def literal_matches(
    sentence: Span, matches_key: str, taxonomy: Taxonomy, finder: NameFinder | None
) -> dict[int, LiteralMatch]:
    """The longest literal match of each skill in the sentence, by the skill's row.

    They are those of ``doc.spans[matches_key]``, or what the finder finds where no pipe has
    left any.
    """
    matches: dict[int, LiteralMatch] = {}
    for start, end, row in _spans(sentence, matches_key, taxonomy, finder):
        match = LiteralMatch(min((end - start) / FULL_MATCH, 1.0), start, end)
        if row not in matches or match.strength > matches[row].strength:
            matches[row] = match
    return matches


def _spans(
    sentence: Span, matches_key: str, taxonomy: Taxonomy, finder: NameFinder | None
) -> Iterator[tuple[int, int, int]]:
    if matches_key not in sentence.doc.spans:
        if finder is not None:
            yield from finder.find(sentence)
        return
    for span in sentence.doc.spans[matches_key]:
        if sentence.start <= span.start < sentence.end and span.kb_id_ in taxonomy:
            yield span.start, span.end, taxonomy.index(span.kb_id_)


def top_skills(
    logits: numpy.ndarray, top_k: int, threshold: float
) -> list[tuple[int, float]]:
    """(row, probability) of at most top_k skills of at least this probability, the best
    first, of equals the lower row."""
    top_k = min(top_k, len(logits))
    if top_k < 1:
        return []
    rows = numpy.argpartition(-logits, top_k - 1)[:top_k]
    rows = rows[numpy.lexsort((rows, -logits[rows]))]
    scores = 1 / (1 + numpy.exp(-logits[rows].astype("float64")))
    return [
        (int(row), float(score))
        for row, score in zip(rows, scores)
        if score >= threshold
    ]
