"""Which (sentence, skill) pairs make a batch: positives, and the negatives drawn for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy
from numpy.random import Generator

from .sampler import NegativeSampler, SentencePool
from .taxonomy import Taxonomy

# The order in which the skills of a list come to be trained, as indices into the list.
SkillOrder = Callable[[list[str], Generator], list[int]]


@dataclass
class PairBatch:
    """Pairs of a row of the pool and a skill's URI."""

    positives: list[tuple[int, str]] = field(default_factory=list)
    negatives: list[tuple[int, str]] = field(default_factory=list)


def shuffled(skills: list[str], rng: Generator) -> list[int]:
    """No order at all."""
    return rng.permutation(len(skills)).tolist()


class TopicOrder:
    """Skills of one branch of the hierarchy after each other, branches in random order,
    so that the sentences of a batch are about one topic."""

    def __init__(self, load: Callable[[], Taxonomy]):
        """load: called when the first order is asked for."""
        self._load = load
        self._paths: dict[str, list[str]] = {}

    @cached_property
    def taxonomy(self) -> Taxonomy:
        return self._load()

    def __call__(self, skills: list[str], rng: Generator) -> list[int]:
        paths = [self._path(skill) for skill in skills]
        concepts = sorted({concept for path in paths for concept in path})
        ranks = dict(zip(concepts, rng.permutation(len(concepts)).tolist()))
        # Ties are the handfuls of one skill.
        return sorted(
            range(len(skills)), key=lambda i: [ranks[concept] for concept in paths[i]]
        )

    def _path(self, skill: str) -> list[str]:
        """From the top of the hierarchy down to the skill, by the first broader concept."""
        if skill not in self._paths:
            path = [skill]
            while above := self.taxonomy.broader(path[-1]):
                path.append(above[0])
            self._paths[skill] = path[::-1]
        return self._paths[skill]


class PairBatcher:
    """An epoch shows every (skill, positive) pair of the pool once.

    A skill's positives are dealt in handfuls; a batch is made of the handfuls of several
    skills, in the order given, and each handful's negatives.
    """

    def __init__(
        self,
        sampler: NegativeSampler,
        *,
        order: SkillOrder = shuffled,
        skills_per_batch: int = 64,
        positives_per_skill: int = 4,
        negatives_per_positive: float = 4.0,
        in_batch: bool = False,
        seed: int = 0,
    ):
        """in_batch: draw negatives from the sentences of the batch alone."""
        self.sampler = sampler
        self.order = order
        self.skills_per_batch = skills_per_batch
        self.positives_per_skill = positives_per_skill
        self.negatives_per_positive = negatives_per_positive
        self.in_batch = in_batch
        self.rng = numpy.random.default_rng(seed)

    def __call__(self, pool: SentencePool) -> Iterator[PairBatch]:
        handfuls = self._deal(pool)
        order = self.order([skill for skill, _ in handfuls], self.rng)
        firsts = self.rng.permutation(range(0, len(order), self.skills_per_batch))
        for first in firsts.tolist():
            chosen = order[first : first + self.skills_per_batch]
            yield self._draw(pool, [handfuls[i] for i in chosen])

    def _deal(self, pool: SentencePool) -> list[tuple[str, list[int]]]:
        size = self.positives_per_skill
        handfuls = []
        for skill, rows in pool.rows.items():
            rows = self.rng.permutation(rows).tolist()
            handfuls += [(skill, rows[i : i + size]) for i in range(0, len(rows), size)]
        return handfuls

    def _draw(
        self, pool: SentencePool, handfuls: list[tuple[str, list[int]]]
    ) -> PairBatch:
        batch = PairBatch()
        inside = list(dict.fromkeys(row for _, rows in handfuls for row in rows))
        drawn_from = pool
        if self.in_batch:
            drawn_from = SentencePool([pool.skills[row] for row in inside])
        for skill, rows in handfuls:
            batch.positives += [(row, skill) for row in rows]
            n = round(len(rows) * self.negatives_per_positive)
            drawn = self.sampler.sample(skill, drawn_from, n, self.rng)
            if self.in_batch:
                drawn = [inside[place] for place in drawn]
            batch.negatives += [(row, skill) for row in drawn]
        return batch
