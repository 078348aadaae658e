"""Why a sentence is given a skill: its words are taken out, and the score is looked at again."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy
from spacy.language import Language
from spacy.tokens import Span

from .asking import asking_sentences
from .benchmark import make_sentence_doc
from .decision import Candidate, decide, propose
from .ranker import SkillRanker
from .shortlist import best_rows, look_up
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
    calibration = ranker.calibration
    sentences = asking_sentences([doc], ranker.model, ranker.spanner, calibration)
    asking = (sentence.probability for sentence in sentences)
    for scores, matches in ranker.scored([doc]):
        segments = scores.query.segments
        ranked = [
            look_up(scores, i, rows(v))
            for i, v in enumerate(numpy.asarray(scores.logits))
        ]
        probabilities = list(islice(asking, len(ranked)))
        proposed = propose(segments, ranked, matches, probabilities, calibration)
        for i, proposal in enumerate(proposed):
            sentence = segments.sentences[i]
            found = decide(proposal, 0.0)
            yield Explanation(
                sentence.text,
                None if calibration is None else proposal.asking,
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
