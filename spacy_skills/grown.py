"""A ranker with more skills than there are, to see what they would cost."""

from dataclasses import replace
from typing import Any

import numpy

from .errors import Errors
from .ranker import SkillRanker
from .skills import clear
from .taxonomy import Taxonomy
from .vectors import normalise

# How far a new skill's vector lies from an old one's, both unit vectors: a cosine of 0.96.
TURN = 0.3
# What classifiers have once for all skills.
SHARED = frozenset({"weights", "bias"})


def grow_skills(ranker: SkillRanker, n: int, seed: int = 0) -> None:
    """Give the ranker n skills. Its own keep their rows and vectors, the new ones are these over
    and over, numbered and each turned at random; whatever else a sentence passes stays.

    Raises ValueError (S916) if it has more.
    """
    taxonomy = ranker.taxonomy
    if n < len(taxonomy):
        raise ValueError(Errors.S916.format(n=n, own=len(taxonomy)))
    rows = numpy.arange(n) % len(taxonomy)
    classifiers = ranker.model.layers[-1]
    dims = {name: classifiers.get_dim(name) for name in classifiers.dim_names}
    params: dict[str, Any] = {
        name: numpy.asarray(classifiers.get_param(name))
        for name in classifiers.param_names
        if classifiers.has_param(name)
    }
    clear(classifiers)
    for name, dim in {**dims, "nO": n}.items():
        classifiers.set_dim(name, dim)
    for name, param in params.items():
        if name not in SHARED:
            param = param[rows]
        if name == "names":
            param = _turned(param, len(taxonomy), seed)
        classifiers.set_param(name, classifiers.ops.asarray_f(param))
    ranker._taxonomy = _numbered(taxonomy, rows)


def _turned(names: Any, first: int, seed: int) -> numpy.ndarray:
    """The vectors from the first on turned. names: unit vectors [skills, width]."""
    rng = numpy.random.default_rng(seed)
    random: Any = rng.standard_normal(names[first:].shape, dtype="float32")
    names[first:] = normalise(names[first:] + TURN * normalise(random))
    return names


def _numbered(taxonomy: Taxonomy, rows: numpy.ndarray) -> Taxonomy:
    skills = list(taxonomy)
    for i in range(len(skills), len(rows)):
        old = skills[rows[i]]
        skills.append(replace(old, uri=f"{old.uri}#{i}", name=f"{old.name} {i}"))
    return Taxonomy(skills, taxonomy.groups.values())
