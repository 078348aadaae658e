"""Which sentences serve as a skill's negatives: draws from a pool of labelled sentences.

The strategies that go by the taxonomy are made of a table of neighbours here; see
strategies.py for what is registered, and CONTRIBUTING.md for how to add one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy
from numpy.random import Generator

from .errors import Errors
from .neighbours import NeighbourTable
from .taxonomy import Taxonomy

# A sentence may be a positive of the skill itself; so many draws are tried for another.
DRAWS_PER_NEGATIVE = 8


@dataclass
class SentencePool:
    """The sentences negatives are drawn from, by row.

    skills: the skills each sentence is a positive for; empty for an unlabelled one.
    texts: the sentences, where a strategy has to read them.
    rows: the sentences that are positives of each skill.
    """

    skills: Sequence[frozenset[str]]
    texts: Sequence[str] = ()
    rows: dict[str, list[int]] = field(init=False)
    unlabelled: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {}
        for row, skills in enumerate(self.skills):
            for skill in sorted(skills):
                self.rows.setdefault(skill, []).append(row)
        self.unlabelled = [row for row, skills in enumerate(self.skills) if not skills]


@runtime_checkable
class NegativeSampler(Protocol):
    """Chooses the negatives of a skill."""

    def neighbours(self, skill: str) -> Sequence[str]:
        """URIs of the skills whose sentences it would draw, nearest first; empty: any."""

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        """At most n distinct rows of the pool, none of them a positive of the skill."""

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        """How many candidates it would not draw, by reason, over the pool's skills."""


class RandomNegatives:
    """Any sentence of the pool that is not a positive of the skill."""

    def neighbours(self, skill: str) -> Sequence[str]:
        return ()

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        draws = rng.integers(len(pool.skills), size=n * DRAWS_PER_NEGATIVE)
        return first_negatives(skill, pool, n, draws.tolist())

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        return {}


class NeighbourNegatives:
    """Sentences of the skill's neighbours: first a neighbour is drawn, then one of its
    sentences, so that a frequent skill does not crowd out the others.

    A skill without neighbours in the pool is given random negatives, so that every
    classifier sees some.
    """

    def __init__(
        self, taxonomy: Taxonomy, table: NeighbourTable, min_positives: int = 1
    ):
        self.taxonomy = taxonomy
        self.table = table
        self.min_positives = min_positives
        self._otherwise = RandomNegatives()
        self._pool: SentencePool | None = None
        self._drawable: dict[str, tuple[list[list[int]], numpy.ndarray]] = {}

    def neighbours(self, skill: str) -> Sequence[str]:
        rows, _ = self.table.of(self._row(skill))
        return [self.taxonomy.uris[row] for row in rows]

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        sentences, shares = self._find_drawable(skill, pool)
        if not sentences:
            return self._otherwise.sample(skill, pool, n, rng)
        size = n * DRAWS_PER_NEGATIVE
        chosen = numpy.searchsorted(shares, rng.random(size) * shares[-1], side="right")
        draws = []
        for neighbour, place in zip(chosen.tolist(), rng.random(size).tolist()):
            rows = sentences[min(neighbour, len(sentences) - 1)]
            draws.append(rows[int(place * len(rows))])
        return first_negatives(skill, pool, n, draws)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        reasons: Counter[str] = Counter(self.table.skipped)
        for skill in pool.rows:
            n_drawable = len(self._find_drawable(skill, pool)[0])
            reasons["too few positives"] += len(self.neighbours(skill)) - n_drawable
        return reasons

    def _find_drawable(
        self, skill: str, pool: SentencePool
    ) -> tuple[list[list[int]], numpy.ndarray]:
        """The sentences of each neighbour that has enough, and the running sum of the
        neighbours' weights."""
        if self._pool is not pool:
            self._pool, self._drawable = pool, {}
        if skill not in self._drawable:
            sentences, weights = [], []
            for row, weight in zip(*self.table.of(self._row(skill))):
                rows = pool.rows.get(self.taxonomy.uris[row], [])
                if len(rows) >= self.min_positives:
                    sentences.append(rows)
                    weights.append(weight)
            self._drawable[skill] = sentences, numpy.cumsum(weights, dtype="float64")
        return self._drawable[skill]

    def _row(self, skill: str) -> int:
        if skill not in self.taxonomy:
            raise ValueError(Errors.S502.format(uri=skill))
        return self.taxonomy.index(skill)


class UnlabelledNegatives:
    """Sentences that name no skill at all; random ones where the pool has none."""

    def neighbours(self, skill: str) -> Sequence[str]:
        return ()

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        if not pool.unlabelled:
            return RandomNegatives().sample(skill, pool, n, rng)
        places = rng.integers(len(pool.unlabelled), size=n * DRAWS_PER_NEGATIVE)
        draws = [pool.unlabelled[place] for place in places]
        return first_negatives(skill, pool, n, draws)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        return {}


class MixedNegatives:
    """Each negative from one of several strategies, drawn by weight."""

    def __init__(
        self, strategies: dict[str, NegativeSampler], weights: dict[str, float]
    ):
        known = bool(weights) and set(strategies) == set(weights)
        if not known or min(weights.values()) < 0 or not any(weights.values()):
            names = ", ".join(strategies) or "none"
            raise ValueError(Errors.S503.format(names=names, weights=weights))
        self.strategies = strategies
        shares = numpy.asarray([weights[name] for name in strategies], dtype="float64")
        self.shares = shares / shares.sum()

    def neighbours(self, skill: str) -> Sequence[str]:
        every = (uri for s in self.strategies.values() for uri in s.neighbours(skill))
        return list(dict.fromkeys(every))

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        counts = rng.multinomial(n, self.shares).tolist()
        drawn: dict[int, None] = {}
        for strategy, count in zip(self.strategies.values(), counts):
            # More than its share: some may have come from another strategy already.
            rows = strategy.sample(skill, pool, count + len(drawn), rng)
            new = [row for row in rows if row not in drawn]
            drawn.update(dict.fromkeys(new[:count]))
        return list(drawn)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        reasons: Counter[str] = Counter()
        for strategy in self.strategies.values():
            reasons.update(strategy.skipped(pool))
        return reasons


def first_negatives(
    skill: str, pool: SentencePool, n: int, draws: list[int]
) -> list[int]:
    """The first n distinct draws that are not positives of the skill."""
    distinct = dict.fromkeys(row for row in draws if skill not in pool.skills[row])
    return list(distinct)[:n]
