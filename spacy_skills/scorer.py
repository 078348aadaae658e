"""MRR and R-precision at K of ranked skills, in the protocol of Decorte et al. 2022.

A sentence is the query and every skill is ranked for it. MRR is the mean of 1 / rank of the
first gold skill; RP@K is the number of gold skills in the top K / min(K, number of gold
skills), averaged over sentences. A sentence without a gold skill is not scored. Of skills
with equal scores, the one with the lower row ranks higher.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from .errors import Errors

CUTOFFS = (1, 5, 10)
METRICS = ("esco_mrr", *(f"esco_rp{k}" for k in CUTOFFS))


class SentenceScores(NamedTuple):
    """Reciprocal rank and R-precision at 1, 5 and 10 of one sentence, 0 to 1."""

    rr: float
    rp1: float
    rp5: float
    rp10: float


def sentence_scores(gold: Collection[int], scores: numpy.ndarray) -> SentenceScores:
    """Score the ranking of one sentence.

    gold: rows of the gold skills, at least one.
    scores: [skills], higher is better.
    Raises ValueError if gold is empty or names rows that aren't there, or a score is NaN.
    """
    if not gold or min(gold) < 0 or max(gold) >= len(scores):
        raise ValueError(Errors.S405.format(gold=sorted(gold), n_skills=len(scores)))
    if numpy.isnan(scores).any():
        raise ValueError(Errors.S406)
    ranks = [_rank(row, scores) for row in gold]
    precisions = (sum(r <= k for r in ranks) / min(k, len(ranks)) for k in CUTOFFS)
    return SentenceScores(1 / min(ranks), *precisions)


def _rank(row: int, scores: numpy.ndarray) -> int:
    """Rank from 1 of a row, counted: there is no need to sort 14k scores for a few gold."""
    above = int(numpy.count_nonzero(scores > scores[row]))
    ties_before = int(numpy.count_nonzero(scores[:row] == scores[row]))
    return 1 + above + ties_before


def ranking_scores(
    rows: Iterable[tuple[Collection[int], numpy.ndarray]],
) -> dict[str, float | None]:
    """Mean scores over (gold rows, scores [skills]) of sentences, taken one at a time.

    RETURNS: esco_mrr, esco_rp1, esco_rp5, esco_rp10 as fractions, None if no sentence has
        gold; esco_scored and esco_unscored, numbers of sentences.
    """
    totals = numpy.zeros(len(METRICS))
    scored = unscored = 0
    for gold, scores in rows:
        if gold:
            totals += sentence_scores(gold, scores)
            scored += 1
        else:
            unscored += 1
    result: dict[str, float | None] = dict.fromkeys(METRICS)
    if scored:
        result.update(zip(METRICS, (totals / scored).tolist()))
    return {**result, "esco_scored": scored, "esco_unscored": unscored}


def bootstrap_intervals(
    values: numpy.ndarray, resamples: int, seed: int = 0
) -> numpy.ndarray:
    """95% percentile intervals of the column means, resampling the rows.

    values: [sentences, metrics], at least one sentence; for a paired comparison, the
        differences of two systems' sentence scores.
    RETURNS: [2, metrics], the low and the high ends.
    """
    n = len(values)
    draws = numpy.random.default_rng(seed).multinomial(n, [1 / n] * n, size=resamples)
    return numpy.percentile(draws @ values / n, [2.5, 97.5], axis=0)


@dataclass(frozen=True)
class RankingScorer:
    """Scores a ranker's examples; see make_ranking_scorer."""

    spans_key: str

    def __call__(
        self,
        examples: Iterable[Example],
        *,
        rank: Callable[[list[Doc]], Iterator[tuple[Span, numpy.ndarray]]],
        labels: Sequence[str],
        **kwargs: Any,
    ) -> dict[str, float | None]:
        """Rank the predicted docs' sentences and compare with the reference's spans.

        rank: gives each sentence of the docs with its scores, [len(labels)].
        labels: the skills' URIs in row order.
        RETURNS: as ranking_scores, and esco_unknown: gold spans of skills not in labels.
            They count for nothing; a sentence with no other gold is unscored.
        """
        gold = {id(eg.predicted): self._gold_spans(eg.reference) for eg in examples}
        rows = {uri: row for row, uri in enumerate(labels)}
        unknown = sum(uri not in rows for spans in gold.values() for *_, uri in spans)
        ranked = (
            (_gold_rows(sentence, gold[id(sentence.doc)], rows), scores)
            for sentence, scores in rank([eg.predicted for eg in examples])
        )
        return {**ranking_scores(ranked), "esco_unknown": unknown}

    def _gold_spans(self, reference: Doc) -> list[tuple[int, int, str]]:
        if self.spans_key not in reference.spans:
            return []
        spans = reference.spans[self.spans_key]
        return [(span.start_char, span.end_char, span.kb_id_) for span in spans]


def _gold_rows(
    sentence: Span, gold: list[tuple[int, int, str]], rows: dict[str, int]
) -> set[int]:
    """Rows of the gold skills whose span shares a character with the sentence."""
    return {
        rows[uri]
        for start, end, uri in gold
        if uri in rows and start < sentence.end_char and sentence.start_char < end
    }


@registry.scorers("spacy_skills.ranking_scorer.v1")
def make_ranking_scorer(spans_key: str = "esco_skills") -> RankingScorer:
    """A scorer of ranked skills: MRR, RP@1, RP@5 and RP@10 over all sentences.

    spans_key: the span group of the reference docs that holds the gold skills, their URIs
        in kb_id_. A skill is gold for every sentence its span overlaps.
    """
    return RankingScorer(spans_key)
