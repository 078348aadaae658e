"""Composes batches of some skills' positives and the negatives sampled for them."""

from collections.abc import Iterable, Iterator
from itertools import islice

from spacy.tokens import Span, SpanGroup
from spacy.training import Example
from spacy.util import registry

from .pairs import PairBatch, PairBatcher, SkillOrder, shuffled
from .sampler import NegativeSampler, SentencePool


class NegativeSamplingBatcher:
    """Turns the batches of pairs into Examples, for spaCy's training loop."""

    def __init__(
        self, pairs: PairBatcher, buffer_size: int, spans_key: str, negatives_key: str
    ):
        self.pairs = pairs
        self.buffer_size = buffer_size
        self.spans_key = spans_key
        self.negatives_key = negatives_key

    def __call__(self, examples: Iterable[Example]) -> Iterator[list[Example]]:
        stream = iter(examples)
        while buffer := list(islice(stream, self.buffer_size or None)):
            # spaCy shuffles with a generator that other parts draw from too, the
            # transformer for one: the order must not decide what is drawn here.
            buffer.sort(key=lambda example: example.reference.text)
            pool = make_pool(buffer, self.spans_key)
            for batch in self.pairs(pool):
                yield self._compose(buffer, batch)

    def _compose(self, buffer: list[Example], pairs: PairBatch) -> list[Example]:
        """The batch's examples. Their reference keeps the skills that this batch asks
        for: a positive of some other skill is no part of its loss."""
        wanted: dict[int, list[str]] = {}
        for row, skill in pairs.positives:
            wanted.setdefault(row, []).append(skill)
        negatives: dict[int, list[str]] = {}
        for row, skill in pairs.negatives:
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


def make_pool(examples: list[Example], spans_key: str) -> SentencePool:
    """The examples' sentences, in their order, with the skills of their reference."""
    skills = [
        frozenset(span.kb_id_ for span in eg.reference.spans.get(spans_key, ()))
        for eg in examples
    ]
    return SentencePool(skills, [eg.reference.text for eg in examples])


@registry.batchers("spacy_skills.negative_sampling.v1")
def negative_sampling_batcher(
    sampler: NegativeSampler,
    order: SkillOrder | None = None,
    skills_per_batch: int = 64,
    positives_per_skill: int = 4,
    negatives_per_positive: float = 4.0,
    in_batch: bool = False,
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
    order: which skills share a batch, as topic_order; random if None.
    in_batch: draw negatives from the batch's own sentences only.
    buffer_size: how many examples of a stream are pooled at a time; 0 for all.
    """
    pairs = PairBatcher(
        sampler,
        order=order or shuffled,
        skills_per_batch=skills_per_batch,
        positives_per_skill=positives_per_skill,
        negatives_per_positive=negatives_per_positive,
        in_batch=in_batch,
        seed=seed,
    )
    return NegativeSamplingBatcher(pairs, buffer_size, spans_key, negatives_key)
