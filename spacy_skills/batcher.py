"""Composes batches of some skills' positives and the negatives sampled for them."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy
from spacy.tokens import Span, SpanGroup
from spacy.training import Example
from spacy.util import registry

from .sampler import NegativeSampler, SentencePool

# What a batch asks of a sentence: rows of the pool to skills it is a negative for.
Negatives = dict[int, list[str]]


class NegativeSamplingBatcher:
    """An epoch shows every (skill, positive) pair of the distant labels once."""

    def __init__(
        self,
        sampler: NegativeSampler,
        skills_per_batch: int,
        positives_per_skill: int,
        negatives_per_positive: float,
        buffer_size: int,
        spans_key: str,
        negatives_key: str,
        seed: int,
    ):
        self.sampler = sampler
        self.skills_per_batch = skills_per_batch
        self.positives_per_skill = positives_per_skill
        self.negatives_per_positive = negatives_per_positive
        self.buffer_size = buffer_size
        self.spans_key = spans_key
        self.negatives_key = negatives_key
        self.rng = numpy.random.default_rng(seed)

    def __call__(self, examples: Iterable[Example]) -> Iterator[list[Example]]:
        stream = iter(examples)
        while buffer := list(islice(stream, self.buffer_size or None)):
            # spaCy shuffles with a generator that other parts draw from too, the
            # transformer for one: the order must not decide what is drawn here.
            buffer.sort(key=lambda example: example.reference.text)
            pool = SentencePool([self._skills(eg) for eg in buffer])
            for positives in self._plan(pool):
                yield self._compose(buffer, pool, positives)

    def _skills(self, example: Example) -> frozenset[str]:
        gold = example.reference.spans.get(self.spans_key, ())
        return frozenset(span.kb_id_ for span in gold)

    def _plan(self, pool: SentencePool) -> Iterator[list[tuple[str, list[int]]]]:
        """Each batch's skills with their positives: a skill's are dealt in handfuls."""
        handfuls = []
        for skill, rows in pool.rows.items():
            rows = self.rng.permutation(rows).tolist()
            for i in range(0, len(rows), self.positives_per_skill):
                handfuls.append((skill, rows[i : i + self.positives_per_skill]))
        order = self.rng.permutation(len(handfuls)).tolist()
        for i in range(0, len(order), self.skills_per_batch):
            yield [handfuls[j] for j in order[i : i + self.skills_per_batch]]

    def _compose(
        self,
        buffer: list[Example],
        pool: SentencePool,
        positives: list[tuple[str, list[int]]],
    ) -> list[Example]:
        """The batch's examples. Their reference keeps the skills that this batch asks
        for: a positive of some other skill is no part of its loss."""
        wanted: dict[int, list[str]] = {}
        negatives: Negatives = {}
        for skill, rows in positives:
            n = round(len(rows) * self.negatives_per_positive)
            for row in rows:
                wanted.setdefault(row, []).append(skill)
            for row in self.sampler.sample(skill, pool, n, self.rng):
                negatives.setdefault(row, []).append(skill)
        batch = []
        for row in dict.fromkeys([*wanted, *negatives]):
            example = buffer[row]
            gold = example.reference.spans.get(self.spans_key, ())
            chosen = set(wanted.get(row, ()))
            batch.append(
                self._example(
                    example,
                    [span for span in gold if span.kb_id_ in chosen],
                    negatives.get(row, []),
                )
            )
        return batch

    def _example(
        self, example: Example, positives: list[Span], negatives: list[str]
    ) -> Example:
        # A new reference: the corpus's own examples serve other batches too.
        reference = example.reference.copy()
        spans = [
            Span(reference, s.start, s.end, label=s.label_, kb_id=s.kb_id_)
            for s in positives
        ]
        reference.spans[self.spans_key] = SpanGroup(
            reference, name=self.spans_key, spans=spans
        )
        chosen = [
            Span(reference, 0, len(reference), label="", kb_id=skill)
            for skill in dict.fromkeys(negatives)
        ]
        reference.spans[self.negatives_key] = SpanGroup(
            reference, name=self.negatives_key, spans=chosen
        )
        return Example(example.predicted, reference)


@registry.batchers("spacy_skills.negative_sampling.v1")
def negative_sampling_batcher(
    sampler: NegativeSampler,
    skills_per_batch: int = 64,
    positives_per_skill: int = 4,
    negatives_per_positive: float = 4.0,
    buffer_size: int = 0,
    spans_key: str = "esco_skills",
    negatives_key: str = "esco_negatives",
    seed: int = 0,
) -> NegativeSamplingBatcher:
    """Batches for binary skill classifiers (Decorte et al. 2022, §3.2).

    The examples hold one sentence each. The chosen negatives of a sentence are written to
    ``reference.spans[negatives_key]``; the ranker's loss covers these pairs and the
    batch's positives, and nothing else.

    sampler: the negative sampling strategy.
    buffer_size: how many examples of a stream are pooled at a time; 0 for all.
    """
    return NegativeSamplingBatcher(
        sampler,
        skills_per_batch,
        positives_per_skill,
        negatives_per_positive,
        buffer_size,
        spans_key,
        negatives_key,
        seed,
    )
