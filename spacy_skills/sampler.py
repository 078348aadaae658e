"""Which sentences serve as a skill's negatives: the strategies of Decorte et al. 2022, §3.3.

A strategy is registered under ``misc`` and named in the config's
``[training.batcher.sampler]``; see CONTRIBUTING.md for how to add one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from numpy.random import Generator
from spacy.util import registry

from .esco import load_taxonomy
from .taxonomy import Taxonomy

# A sentence may be a positive of the skill itself; so many draws are tried for another.
DRAWS_PER_NEGATIVE = 8


@dataclass
class SentencePool:
    """The sentences negatives are drawn from, by row.

    skills: the skills each sentence is a positive for.
    rows: the sentences that are positives of each skill.
    """

    skills: list[frozenset[str]]
    rows: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {}
        for row, skills in enumerate(self.skills):
            for skill in sorted(skills):
                self.rows.setdefault(skill, []).append(row)


class NegativeSampler(Protocol):
    """Chooses the negatives of a skill."""

    def neighbours(self, skill: str) -> Sequence[str]:
        """URIs of the skills whose sentences it would draw, nearest first; empty: any."""

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        """At most n distinct rows of the pool, none of them a positive of the skill."""


class RandomNegatives:
    """Any sentence of the pool that is not a positive of the skill."""

    def neighbours(self, skill: str) -> Sequence[str]:
        return ()

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        draws = rng.integers(len(pool.skills), size=n * DRAWS_PER_NEGATIVE)
        return _first_negatives(skill, pool, n, draws.tolist())


class SiblingNegatives:
    """Sentences of skills that share a broader concept with the skill.

    A skill without siblings in the pool is given random negatives, so that every
    classifier sees some.
    """

    def __init__(self, taxonomy: Taxonomy):
        self.taxonomy = taxonomy
        self._otherwise = RandomNegatives()

    def neighbours(self, skill: str) -> Sequence[str]:
        return self.taxonomy.siblings(skill)

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        siblings = [uri for uri in self.neighbours(skill) if uri in pool.rows]
        if not siblings:
            return self._otherwise.sample(skill, pool, n, rng)
        # First the sibling, then one of its sentences: a frequent one must not crowd out
        # the others.
        chosen = rng.integers(len(siblings), size=n * DRAWS_PER_NEGATIVE)
        places = rng.random(len(chosen))
        draws = []
        for sibling, place in zip(chosen, places):
            rows = pool.rows[siblings[sibling]]
            draws.append(rows[int(place * len(rows))])
        return _first_negatives(skill, pool, n, draws)


def _first_negatives(
    skill: str, pool: SentencePool, n: int, draws: list[int]
) -> list[int]:
    distinct = dict.fromkeys(row for row in draws if skill not in pool.skills[row])
    return list(distinct)[:n]


@registry.misc("spacy_skills.random_negatives.v1")
def make_random_negatives() -> NegativeSampler:
    """Negatives drawn from all sentences alike."""
    return RandomNegatives()


@registry.misc("spacy_skills.sibling_negatives.v1")
def make_sibling_negatives(taxonomy: Path) -> NegativeSampler:
    """Negatives drawn from sentences of the skill's siblings.

    taxonomy: the compact file, or a folder of ESCO's CSVs.
    """
    return SiblingNegatives(load_taxonomy(taxonomy))
