"""Why a sentence is given a skill: its words are taken out, and the score is looked at again."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy
from spacy.language import Language
from spacy.tokens import Span

from .benchmark import make_sentence_doc
from .decision import Candidate, Proposal, asking_of, best_rows, decide, propose
from .ranker import SkillRanker
from .skills import Scores


class Reason(NamedTuple):
    """One skill of a sentence.

    rank: among all skills, from 1. logit: what the ranking is by. without: the logit of the same
    skill in the sentence without the words of the evidence; None if nothing is left of it.
    """

    row: int
    rank: int
    probability: float
    logit: float
    without: float | None
    words: str
    evidence: str


class Explanation(NamedTuple):
    """A sentence, the probability that it asks for a skill at all (None without a calibration),
    and the reasons for skills, the best one first."""

    sentence: str
    asking: float | None
    reasons: list[Reason]


def explain(
    nlp: Language,
    ranker: SkillRanker,
    text: str,
    *,
    top_k: int,
    skills: Iterable[str] = (),
) -> Iterator[Explanation]:
    """Explain the top_k skills of each sentence of a text, whatever the threshold is.

    skills: URIs of further ones. Raises KeyError for one the taxonomy does not have.
    """
    further = [ranker.taxonomy.index(uri) for uri in skills]

    def rows(logits: numpy.ndarray) -> numpy.ndarray:
        return numpy.array(list(dict.fromkeys([*best_rows(logits, top_k), *further])))

    later = nlp.pipe_names[nlp.pipe_names.index(ranker.name) :]
    (doc,) = nlp.pipe([text], disable=later)
    proposals: list[Proposal] = []
    places: list[tuple[Scores, int, Span]] = []
    for scores, matches in ranker.scored([doc]):
        proposals += propose(scores, matches, ranker.calibration, rows)
        sentences = scores.query.segments.sentences
        places += [(scores, i, sentence) for i, sentence in enumerate(sentences)]
    asking = asking_of(proposals, ranker.calibration)
    decided = decide(proposals, ranker.calibration, 0.0)
    for (scores, i, sentence), asks, found in zip(places, asking, decided):
        yield Explanation(
            sentence.text,
            None if ranker.calibration is None else asks,
            [_reason(nlp, ranker, scores, i, sentence, c) for c in found],
        )


def _reason(
    nlp: Language,
    ranker: SkillRanker,
    scores: Scores,
    i: int,
    sentence: Span,
    candidate: Candidate,
) -> Reason:
    logits = numpy.asarray(scores.logits[i])
    words = sentence.doc[candidate.start : candidate.end]
    rest = without(sentence, candidate.start, candidate.end)
    logit = None
    if any(map(str.isalnum, rest)):
        later = nlp.pipe_names[nlp.pipe_names.index(ranker.name) :]
        (doc,) = nlp.pipe([make_sentence_doc(nlp, rest)], disable=later)
        logit = max(float(values[candidate.row]) for _, values in ranker.rank([doc]))
    return Reason(
        row=candidate.row,
        rank=1 + int((logits > logits[candidate.row]).sum()),
        probability=candidate.score,
        logit=float(logits[candidate.row]),
        without=logit,
        words=words.text,
        evidence=candidate.evidence,
    )


def without(sentence: Span, start: int, end: int) -> str:
    """The sentence's text without the tokens start to end of the doc."""
    kept = (t.text_with_ws for t in sentence if not start <= t.i < end)
    return " ".join("".join(kept).split())
