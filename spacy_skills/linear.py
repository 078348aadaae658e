"""The classifiers of the paper: a logistic regression per skill, started from nothing."""

from collections.abc import Callable

import numpy
from spacy.util import registry
from thinc.api import Model
from thinc.types import Floats2d

from .phrases import Segments
from .skills import Query, Scores, clear, skill_ranker
from .vectors import normalise

# The logit of a skill that no training sentence names: it has no classifier.
NO_CLASSIFIER = -500.0


@registry.architectures("spacy_skills.LinearRanker.v1")
def build_linear_ranker(encoder: Model[Segments, Floats2d]) -> Model[Query, Scores]:
    """Encoder, and for each skill a binary classifier of the sentence's vector alone:
    neither names nor prior nor literal matches (Decorte et al. 2022, §3.1)."""
    return skill_ranker([encoder, linear_classifiers()])


def linear_classifiers() -> Model:
    """logit = w · x + b, x being the sentence's vector scaled to unit variance.

    Parameters: W [nO, nI] and b [nO], zero at first; known [nO], 1 for skills that a
    training sentence names. The others rank behind all, in row order.
    """
    return Model(
        "linear_classifiers",
        _forward,
        dims={"nO": None, "nI": None},
        params={"W": None, "b": None, "known": None},
    )


def set_known(classifiers: Model, counts: numpy.ndarray) -> None:
    """Start from nothing. counts: [skills] training sentences that name each skill."""
    ops = classifiers.ops
    width = classifiers.get_dim("nI")
    clear(classifiers)
    classifiers.set_dim("nI", width)
    classifiers.set_dim("nO", len(counts))
    classifiers.set_param("W", ops.alloc2f(len(counts), width))
    classifiers.set_param("b", ops.alloc1f(len(counts)))
    known = [float(count > 0) for count in counts]
    classifiers.set_param("known", ops.asarray1f(known))


def _forward(
    model: Model, vectors_query: tuple[Floats2d, Query], is_train: bool
) -> tuple[Scores, Callable]:
    vectors, query = vectors_query
    ops = model.ops
    rows = slice(None) if query.rows is None else query.rows
    starts = ops.asarray1i(query.segments.starts)
    scale = model.get_dim("nI") ** 0.5
    unit = normalise(vectors[starts])
    inputs = unit * scale
    weights = model.get_param("W")[rows]
    logits = inputs @ weights.T + model.get_param("b")[rows]
    if not is_train:
        logits += NO_CLASSIFIER * (1 - model.get_param("known")[rows])
    best = ops.xp.repeat(starts.reshape((-1, 1)), logits.shape[1], axis=1)

    def backprop(d_logits: Floats2d) -> Floats2d:
        d_weights = ops.alloc2f(*model.get_param("W").shape)
        d_weights[rows] = d_logits.T @ inputs
        model.inc_grad("W", d_weights)
        d_bias = ops.alloc1f(len(d_weights))
        d_bias[rows] = d_logits.sum(axis=0)
        model.inc_grad("b", d_bias)
        # The paper's encoder is frozen: nothing below learns.
        return ops.alloc2f(*vectors.shape)

    return Scores(query, logits, best, unit), backprop
