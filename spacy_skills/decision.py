"""Which skills a sentence is given, how probable each is, and on what evidence."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy
from spacy.tokens import Span

from .calibration import Calibration
from .evidence import LiteralMatch
from .skills import Scores

# The words that name the skill; those whose vector lies closest to it; or the whole sentence,
# where no part of it lies as close.
Evidence = Literal["name", "words", "sentence"]


class Candidate(NamedTuple):
    """A skill that a sentence is given: tokens of the evidence, row, probability."""

    start: int
    end: int
    row: int
    score: float
    evidence: Evidence


def decide(
    scores: Scores,
    matches: list[dict[int, LiteralMatch]],
    *,
    calibration: Calibration | None,
    top_k: int,
    threshold: float,
) -> Iterator[list[Candidate]]:
    """For each sentence at most top_k skills of at least this probability, the best first.

    scores: numpy's arrays, see ``Scores.to_cpu``. matches: each sentence's literal matches.
    Without a calibration the probability is the logit's.
    """
    asking = None if calibration is None else calibration.asking(scores)
    for i, logits in enumerate(numpy.asarray(scores.logits)):
        rows = best_rows(logits, top_k)
        found = candidates(scores, i, rows, matches[i], calibration, asking)
        yield [candidate for candidate in found if candidate.score >= threshold]


def candidates(
    scores: Scores,
    i: int,
    rows: numpy.ndarray,
    matches: Mapping[int, LiteralMatch],
    calibration: Calibration | None,
    asking: numpy.ndarray | None,
) -> list[Candidate]:
    """The skills in these rows for sentence i, the most probable first. asking: what the
    calibration says of the sentences."""
    if calibration is None or asking is None:
        logits = numpy.asarray(scores.logits)[i, rows].astype("float64")
        values = 1 / (1 + numpy.exp(-logits))
    else:
        values = calibration.probabilities(scores, i, rows, asking[i])
    found = [
        _candidate(scores, i, int(row), float(value), matches)
        for row, value in zip(rows, values)
    ]
    return sorted(found, key=lambda candidate: -candidate.score)


def best_rows(logits: numpy.ndarray, top_k: int) -> numpy.ndarray:
    """The rows of the top_k highest logits, the best first, of equals the lower row."""
    top_k = min(top_k, len(logits))
    if top_k < 1:
        return numpy.zeros(0, dtype="int64")
    rows = numpy.argpartition(-logits, top_k - 1)[:top_k]
    return rows[numpy.lexsort((rows, -logits[rows]))]


def _candidate(
    scores: Scores, i: int, row: int, value: float, matches: Mapping[int, LiteralMatch]
) -> Candidate:
    if row in matches:
        match = matches[row]
        return Candidate(match.start, match.end, row, value, "name")
    segments = scores.query.segments
    start, end = _trim(segments.spans[scores.best[i, row]])
    whole = (start, end) == _trim(segments.spans[segments.starts[i]])
    return Candidate(start, end, row, value, "sentence" if whole else "words")


def _trim(span: Span) -> tuple[int, int]:
    """Without what stands around the first and the last word: bullets, stops, blanks."""
    words = [token.i for token in span if any(map(str.isalnum, token.text))]
    return (words[0], words[-1] + 1) if words else (span.start, span.end)
