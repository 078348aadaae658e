"""The registered sampling strategies: what a config names in [training.batcher.sampler].

Tables of neighbours are computed for the whole taxonomy when the first negative is drawn,
and kept in the folder `cache` if there is one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from numpy.random import Generator
from spacy.util import registry
from thinc.api import Model
from thinc.types import Floats2d

from .errors import Errors
from .esco import load_taxonomy
from .mining import PipelineMinedNegatives
from .neighbours import (
    NeighbourTable,
    cached_table,
    cosine_table,
    levenshtein_table,
    relative_table,
    sibling_table,
)
from .pairs import SkillOrder, TopicOrder
from .phrases import Segments
from .sampler import (
    MixedNegatives,
    NegativeSampler,
    NeighbourNegatives,
    RandomNegatives,
    SentencePool,
    UnlabelledNegatives,
)
from .taxonomy import Taxonomy

# Parts of a mix are given the same path.
_load_taxonomy = lru_cache(maxsize=1)(load_taxonomy)


class LazyNegatives:
    """Makes its strategy when it is first needed: spaCy resolves a training config twice,
    and a table may take a minute."""

    def __init__(self, make: Callable[[], NeighbourNegatives]):
        self._make = make

    @cached_property
    def strategy(self) -> NeighbourNegatives:
        return self._make()

    def neighbours(self, skill: str) -> Sequence[str]:
        return self.strategy.neighbours(skill)

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        return self.strategy.sample(skill, pool, n, rng)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        return self.strategy.skipped(pool)


def _lazy(
    taxonomy: Path,
    build: Callable[[Taxonomy], NeighbourTable],
    min_positives: int,
) -> NegativeSampler:
    def make() -> NeighbourNegatives:
        skills = _load_taxonomy(taxonomy)
        return NeighbourNegatives(skills, build(skills), min_positives)

    return LazyNegatives(make)


@registry.misc("spacy_skills.random_negatives.v1")
def make_random_negatives() -> NegativeSampler:
    """Negatives drawn from all sentences alike."""
    return RandomNegatives()


@registry.misc("spacy_skills.sibling_negatives.v1")
def make_sibling_negatives(taxonomy: Path, min_positives: int = 1) -> NegativeSampler:
    """Negatives from sentences of skills that share a broader concept.

    taxonomy: the compact file, or a folder of ESCO's CSVs.
    min_positives: neighbours with fewer sentences are not drawn.
    """
    return _lazy(taxonomy, sibling_table, min_positives)


@registry.misc("spacy_skills.relative_negatives.v1")
def make_relative_negatives(
    taxonomy: Path, steps: int = 2, decay: float = 0.5, min_positives: int = 1
) -> NegativeSampler:
    """Negatives from siblings, and with decreasing weight from cousins.

    steps: how far up a common ancestor may be: 1 siblings, 2 cousins too.
    decay: the weight of all cousins together, relative to that of the siblings.
    """

    def build(skills: Taxonomy) -> NeighbourTable:
        return relative_table(skills, steps, decay)

    return _lazy(taxonomy, build, min_positives)


@registry.misc("spacy_skills.levenshtein_negatives.v1")
def make_levenshtein_negatives(
    taxonomy: Path,
    limit: int = 100,
    all_names: bool = False,
    cache: Path | None = None,
    min_positives: int = 1,
) -> NegativeSampler:
    """Negatives from the skills whose names take the fewest edits to turn into.

    limit: how many neighbours a skill has.
    all_names: to the alternative names of the other skill too, not its preferred one only.
    """

    def build(skills: Taxonomy) -> NeighbourTable:
        make = partial(levenshtein_table, skills, limit, all_names)
        return cached_table(
            skills,
            make,
            cache,
            strategy="levenshtein",
            limit=limit,
            all_names=all_names,
        )

    return _lazy(taxonomy, build, min_positives)


@registry.misc("spacy_skills.cosine_negatives.v1")
def make_cosine_negatives(
    taxonomy: Path,
    encoder: Model[Segments, Floats2d],
    limit: int = 100,
    cache: Path | None = None,
    min_positives: int = 1,
) -> NegativeSampler:
    """Negatives from the skills whose encoded preferred names are nearest.

    encoder: a TransformerEncoder, to be the ranker's own.
    """

    def build(skills: Taxonomy) -> NeighbourTable:
        # Brings the transformers library, which costs seconds to import.
        from .encoder import TextEncoder, weights_digest

        if encoder.name != "transformer_encoder":
            raise ValueError(Errors.S505)
        encode = TextEncoder(encoder)

        def make() -> NeighbourTable:
            return cosine_table(skills, encode([s.name for s in skills]), limit)

        return cached_table(
            skills,
            make,
            cache,
            strategy="cosine",
            limit=limit,
            encoder=weights_digest(encoder),
        )

    return _lazy(taxonomy, build, min_positives)


@registry.misc("spacy_skills.mined_negatives.v1")
def make_mined_negatives(
    pipeline: Path,
    margin: float = 2.0,
    depth: int = 50,
    candidates: int = 20_000,
    cache: Path | None = None,
) -> NegativeSampler:
    """The sentences that a pipeline ranks high for a skill they do not name.

    pipeline: of the last round, or the running training's model-last; read every epoch.
    margin: logits below the skill's own sentences from which a sentence is no likely
        false negative. depth: how many are drawn from.
    candidates: sentences looked at. cache: folder of a frozen encoder's vectors.
    """
    return PipelineMinedNegatives(pipeline, margin, depth, candidates, cache)


@registry.misc("spacy_skills.unlabelled_negatives.v1")
def make_unlabelled_negatives() -> NegativeSampler:
    """Sentences without any skill: the corpus reader's `unlabelled` has to bring them."""
    return UnlabelledNegatives()


@registry.misc("spacy_skills.mixed_negatives.v1")
def make_mixed_negatives(
    # confection 1.3 checks a dict's values before it has made them.
    strategies: dict[str, Any],
    weights: dict[str, float],
) -> NegativeSampler:
    """Each negative from one of these strategies, drawn by its weight.

    Raises ValueError unless every strategy has a weight, and one of them is above zero.
    """
    return MixedNegatives(strategies, weights)


@registry.misc("spacy_skills.topic_order.v1")
def make_topic_order(taxonomy: Path) -> SkillOrder:
    """Batches of one branch of the hierarchy: with `in_batch`, hard negatives."""
    return TopicOrder(lambda: _load_taxonomy(taxonomy))
