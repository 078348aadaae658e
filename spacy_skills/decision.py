"""Which skills a sentence is given, how probable each is, and on what evidence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from spacy.tokens import Span, Token

from .calibration import Calibration, expit
from .evidence import LiteralMatch
from .phrases import Segments
from .shortlist import Ranked

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
    """What a sentence may be given. asking: the probability that it asks for a skill; candidates:
    with the probability that each is right if it does."""

    asking: float
    candidates: list[Candidate]


def propose(
    segments: Segments,
    ranked: Sequence[Ranked],
    matches: Sequence[Mapping[int, LiteralMatch]],
    asking: Sequence[float],
    calibration: Calibration | None,
) -> Iterator[Proposal]:
    """A proposal for each sentence.

    ranked: which skills of each sentence to look at. matches: its literal matches. Without a
    calibration the probability is the logit's.
    """
    for i, skills in enumerate(ranked):
        if calibration is None:
            values = expit(skills.logits.astype("float64"))
        else:
            values = calibration.right_if_asking(skills, len(segments.marks[i].asked))
        whole = _trim(segments.spans[segments.starts[i]])
        found = [
            _candidate(segments, whole, int(row), int(best), float(value), matches[i])
            for row, best, value in zip(skills.rows, skills.best, values)
        ]
        yield Proposal(float(asking[i]), found)


def decide(proposal: Proposal, threshold: float) -> list[Candidate]:
    """The skills of at least this probability, the best first."""
    asking = proposal.asking
    found = [c._replace(score=c.score * asking) for c in proposal.candidates]
    found = [candidate for candidate in found if candidate.score >= threshold]
    return sorted(found, key=lambda candidate: -candidate.score)


def _candidate(
    segments: Segments,
    whole: tuple[int, int],
    row: int,
    best: int,
    value: float,
    matches: Mapping[int, LiteralMatch],
) -> Candidate:
    if row in matches:
        match = matches[row]
        return Candidate(match.start, match.end, row, value, "name")
    start, end = _trim(segments.spans[best])
    kind: Evidence = "sentence" if (start, end) == whole else "words"
    return Candidate(start, end, row, value, kind)


def _trim(span: Span) -> tuple[int, int]:
    """Without what stands around the first and the last word: bullets, stops, blanks."""
    start, end = span.start, span.end
    while start < end and not _is_word(span.doc[start]):
        start += 1
    while start < end and not _is_word(span.doc[end - 1]):
        end -= 1
    return (start, end) if start < end else (span.start, span.end)


def _is_word(token: Token) -> bool:
    return any(map(str.isalnum, token.text))
