"""The best skills of a sentence, without a logit for each of the others.

All skills are scored with rounded vectors, some of the best ones again with exact ones: the
result is that of ``skill_classifiers``, in a fifth of the time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
import torch
from thinc.api import Model, NumpyOps
from torch import Tensor

from .int8 import ACTIVATION_LEVELS, WEIGHT_LEVELS, has_int8_products, round_rows
from .skills import Query, Scores, classifier_weights
from .vectors import normalise

# Skills that are scored again for each that is asked for: the order of two whose logits
# differ by less than rounding does may be wrong in the first round.
RESERVE = 24
# Vectors that are compared with all skills at a time; the products should stay in a cache.
VECTORS_PER_PRODUCT = 48


class Ranked(NamedTuple):
    """Some skills of one sentence. rows, ranks (0 is the best), logits, literal: [skills]; best:
    the rows in segments.spans of the pieces closest to them."""

    rows: numpy.ndarray
    ranks: numpy.ndarray
    logits: numpy.ndarray
    literal: numpy.ndarray
    best: numpy.ndarray


def look_up(scores: Scores, sentence: int, rows: numpy.ndarray) -> Ranked:
    """The skills in these rows. scores: numpy's arrays, see ``Scores.to_cpu``."""
    logits = numpy.asarray(scores.logits)[sentence]
    literal = numpy.asarray(scores.query.literal)[sentence]
    ranks = (logits > logits[rows, None]).sum(axis=1)
    best = numpy.asarray(scores.best)[sentence]
    return Ranked(rows, ranks, logits[rows], literal[rows], best[rows])


def best_rows(logits: numpy.ndarray, top_k: int) -> numpy.ndarray:
    """The rows of the top_k highest logits, the best first, of equals the lower row."""
    top_k = min(top_k, len(logits))
    if top_k < 1:
        return numpy.zeros(0, dtype="int64")
    rows = numpy.argpartition(-logits, top_k - 1)[:top_k]
    return rows[numpy.lexsort((rows, -logits[rows]))]


def best_skills(model: Model[Query, Scores], query: Query, top_k: int) -> list[Ranked]:
    """The top_k skills of each sentence of a query of all skills, the best first."""
    *below, classifiers = model.layers
    if _has_fixed_skills(classifiers):
        vectors: Any = query.segments
        for layer in below:
            vectors = layer.predict(vectors)
        unit = numpy.asarray(normalise(vectors))
        return list(_screened(classifiers, unit, query, top_k))
    scores = model.predict(query).to_cpu(model.ops)
    return [
        look_up(scores, i, best_rows(logits, top_k))
        for i, logits in enumerate(numpy.asarray(scores.logits))
    ]


def _has_fixed_skills(classifiers: Model) -> bool:
    """Whether skills are where their names are, in memory that torch shares."""
    return (
        classifiers.name == "skill_classifiers"
        and not classifiers.has_param("offset")
        and isinstance(classifiers.ops, NumpyOps)
    )


def _param(classifiers: Model, name: str) -> numpy.ndarray:
    return numpy.asarray(classifiers.get_param(name))


class RoundedSkills:
    """The vectors of all skills as they are compared in the first round.

    names: unit vectors [skills, width]. scales: float32 [skills], what the products with the
    rounded vectors are worth.
    """

    def __init__(self, names: numpy.ndarray) -> None:
        self.names = names
        exact = torch.from_numpy(numpy.ascontiguousarray(names))
        self._int8 = has_int8_products()
        if self._int8:
            self._vectors, scales = round_rows(exact, WEIGHT_LEVELS)
            self.scales = scales[:, 0]
        else:
            self._vectors, self.scales = exact, exact.new_ones(len(exact))

    def products(self, unit: Tensor) -> Tensor:
        """[vectors, skills]"""
        if not self._int8:
            return unit @ self._vectors.t()
        rounded, scales = round_rows(unit, ACTIVATION_LEVELS)
        return torch._int_mm(rounded, self._vectors.t()) * scales


def _rounded_skills(classifiers: Model) -> RoundedSkills:
    known: RoundedSkills | None = classifiers.attrs.get("rounded")
    names = _param(classifiers, "names")
    if known is None or known.names is not names:
        known = classifiers.attrs["rounded"] = RoundedSkills(names)
    return known


def _screened(
    classifiers: Model, unit: numpy.ndarray, query: Query, top_k: int
) -> Iterator[Ranked]:
    rounded = _rounded_skills(classifiers)
    sentence, piece, prior, _ = classifier_weights(classifiers).tolist()
    constant = prior * torch.from_numpy(_param(classifiers, "prior"))
    ends = [*query.segments.starts[1:], len(unit)]
    bounds = list(zip(query.segments.starts, ends))
    n = min(top_k + RESERVE, len(constant))
    with torch.inference_mode():
        for i, sentences in _chunks(bounds):
            first, end = sentences[0][0], sentences[-1][1]
            products = rounded.products(torch.from_numpy(unit[first:end]))
            for k, (start, stop) in enumerate(sentences, start=i):
                own = products[start - first : stop - first]
                mixed = own.amax(dim=0).mul_(piece).add_(own[0], alpha=sentence)
                rough = torch.addcmul(constant, rounded.scales, mixed)
                literal = numpy.asarray(query.literal)[k]
                named = numpy.flatnonzero(literal)
                rows = numpy.union1d(rough.topk(n).indices.numpy(), named)
                yield _ranked(
                    classifiers, unit[start:stop], rows, literal[rows], top_k, start
                )


def _chunks(
    bounds: list[tuple[int, int]],
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The number of the first sentence, and the bounds of some."""
    first = 0
    for i in range(len(bounds)):
        is_last = i + 1 == len(bounds)
        if is_last or bounds[i + 1][1] - bounds[first][0] > VECTORS_PER_PRODUCT:
            yield first, bounds[first : i + 1]
            first = i + 1


def _ranked(
    classifiers: Model,
    unit: numpy.ndarray,
    rows: numpy.ndarray,
    literal: numpy.ndarray,
    top_k: int,
    start: int,
) -> Ranked:
    """The best of these rows by their exact logits, see ``skill_classifiers``."""
    weights = numpy.asarray(classifier_weights(classifiers))
    cosines = _param(classifiers, "names")[rows] @ unit.T
    best = cosines.argmax(axis=1)
    logits = weights[0] * cosines[:, 0] + weights[1] * cosines.max(axis=1)
    logits += weights[2] * _param(classifiers, "prior")[rows] + weights[3] * literal
    logits += _param(classifiers, "bias")
    order = numpy.lexsort((rows, -logits))[:top_k]
    kept = logits[order]
    ranks = (logits > kept[:, None]).sum(axis=1)
    return Ranked(rows[order], ranks, kept, literal[order], start + best[order])
