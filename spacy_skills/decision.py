"""Which skills a sentence is given, how probable each is, and on what evidence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy
from spacy.tokens import Span

from .calibration import Calibration, expit
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


class Proposal(NamedTuple):
    """What a sentence may be given. asking: log-odds that it asks for a skill, by itself;
    candidates: with the probability that each is right if it does."""

    asking: float
    candidates: list[Candidate]


def propose(
    scores: Scores,
    matches: Sequence[Mapping[int, LiteralMatch]],
    calibration: Calibration | None,
    rows: Callable[[numpy.ndarray], numpy.ndarray],
) -> Iterator[Proposal]:
    """A proposal for each sentence.

    scores: numpy's arrays, see ``Scores.to_cpu``. matches: each sentence's literal matches.
    rows: of a sentence's logits, which skills to look at. Without a calibration the
    probability is the logit's.
    """
    alone = None if calibration is None else calibration.asking_alone(scores)
    for i, logits in enumerate(numpy.asarray(scores.logits)):
        chosen = rows(logits)
        if calibration is None:
            values = expit(logits[chosen].astype("float64"))
        else:
            values = calibration.right_if_asking(scores, i, chosen)
        found = [
            _candidate(scores, i, int(row), float(value), matches[i])
            for row, value in zip(chosen, values)
        ]
        yield Proposal(0.0 if alone is None else float(alone[i]), found)


def decide(
    proposals: Sequence[Proposal], calibration: Calibration | None, threshold: float
) -> Iterator[list[Candidate]]:
    """For each sentence of a doc the skills of at least this probability, the best first.

    proposals: of all the doc's sentences, in their order.
    """
    for asking, proposal in zip(asking_of(proposals, calibration), proposals):
        found = [c._replace(score=c.score * asking) for c in proposal.candidates]
        found = [candidate for candidate in found if candidate.score >= threshold]
        yield sorted(found, key=lambda candidate: -candidate.score)


def asking_of(
    proposals: Sequence[Proposal], calibration: Calibration | None
) -> list[float]:
    """The probability that each sentence of a doc asks for a skill; 1 without a calibration."""
    if calibration is None or not proposals:
        return [1.0] * len(proposals)
    alone = numpy.array([proposal.asking for proposal in proposals])
    return calibration.asking(alone).tolist()


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
