"""The best skills of a sentence, without a logit for each of the others.

All skills are scored with rounded vectors, some of the best ones again with exact ones: the
result is that of ``skill_classifiers``, in a fifth of the time.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy
import torch
from thinc.api import Model, NumpyOps
from torch import Tensor

from .int8 import ACTIVATION_LEVELS, WEIGHT_LEVELS, has_int8_products, round_rows
from .phrases import Segments
from .skills import Query, Scores, classifier_weights, literal_matrix
from .vectors import normalise

# Skills that are scored again for each that is asked for: the order of two whose logits
# differ by less than rounding does may be wrong in the first round.
RESERVE = 24
# Bounds the memory of a forward pass: 64 sentences × 14k skills are 3.6 MB a matrix.
SENTENCES_PER_PASS = 64
# Where only some skills of a sentence are looked at closely, more are encoded together: then
# more of their pieces have the same length.
SENTENCES_PER_SCREENING = 512
# Skills that all vectors are compared with at a time; they should stay in a cache.
SKILLS_PER_PRODUCT = 2048


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


def sentences_per_pass(model: Model[Query, Scores]) -> int:
    """How many to ask ``best_skills`` about at a time."""
    if _has_fixed_skills(model.layers[-1]):
        return SENTENCES_PER_SCREENING
    return SENTENCES_PER_PASS


def best_skills(
    model: Model[Query, Scores],
    segments: Segments,
    strengths: Sequence[Mapping[int, float]],
    top_k: int,
) -> list[Ranked]:
    """The top_k skills of each sentence, the best first.

    strengths: of each sentence's literal matches, by the skills' rows.
    """
    *below, classifiers = model.layers
    if _has_fixed_skills(classifiers):
        vectors: Any = segments
        for layer in below:
            vectors = layer.predict(vectors)
        unit = numpy.asarray(normalise(vectors))
        return _screened(classifiers, unit, segments.starts, strengths, top_k)
    literal: Any = literal_matrix(strengths, None, classifiers.get_dim("nO"))
    query = Query(segments, model.ops.asarray2f(literal))
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
            self.scales = scales[:, 0] / ACTIVATION_LEVELS
        else:
            self._vectors, self.scales = exact, exact.new_ones(len(exact))

    def products(self, unit: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Some skills at a time, and the products with them, [vectors, skills]."""
        rounded = unit
        if self._int8:
            # No scale of their own: what is compared are integers.
            rounded = (unit * ACTIVATION_LEVELS).round_().to(torch.int8)
        for start in range(0, len(self._vectors), SKILLS_PER_PRODUCT):
            some = slice(start, start + SKILLS_PER_PRODUCT)
            vectors = self._vectors[some].t()
            if self._int8:
                yield some, torch._int_mm(rounded, vectors)
            else:
                yield some, unit @ vectors


def _rounded_skills(classifiers: Model) -> RoundedSkills:
    known: RoundedSkills | None = classifiers.attrs.get("rounded")
    names = _param(classifiers, "names")
    if known is None or known.names is not names:
        known = classifiers.attrs["rounded"] = RoundedSkills(names)
    return known


def _screened(
    classifiers: Model,
    unit: numpy.ndarray,
    starts: Sequence[int],
    strengths: Sequence[Mapping[int, float]],
    top_k: int,
) -> list[Ranked]:
    bounds = list(zip(starts, [*starts[1:], len(unit)]))
    best = _most_likely(classifiers, unit, bounds, top_k + RESERVE)
    exact = ExactSkills.of(classifiers)
    found = []
    for i, (start, end) in enumerate(bounds):
        rows, literal = best[i], numpy.zeros(1)
        if strengths[i]:
            rows = numpy.union1d(rows, list(strengths[i]))
            literal = numpy.array([strengths[i].get(row, 0.0) for row in rows.tolist()])
        literal = numpy.broadcast_to(literal, rows.shape)
        ranked = exact.rank(unit[start:end], rows, literal, top_k)
        found.append(ranked._replace(best=start + ranked.best))
    return found


def _most_likely(
    classifiers: Model,
    unit: numpy.ndarray,
    bounds: Sequence[tuple[int, int]],
    n: int,
) -> dict[int, numpy.ndarray]:
    """The rows of the n skills with the highest rough logits, for each sentence by its number.
    bounds: of its vectors."""
    # Those with equally many vectors stand together.
    order = sorted(range(len(bounds)), key=lambda i: bounds[i][1] - bounds[i][0])
    found: dict[int, numpy.ndarray] = {}
    with torch.inference_mode():
        for first in range(0, len(order), SENTENCES_PER_PASS):
            part = order[first : first + SENTENCES_PER_PASS]
            rough = _rough_logits(classifiers, unit, [bounds[i] for i in part])
            rows = rough.topk(min(n, rough.shape[1]), dim=1).indices
            found.update(zip(part, rows.numpy()))
    return found


def _rough_logits(
    classifiers: Model, unit: numpy.ndarray, bounds: Sequence[tuple[int, int]]
) -> Tensor:
    """[sentences, skills]. Literal matches and the bias do not count."""
    rounded = _rounded_skills(classifiers)
    sentence, piece, prior, _ = classifier_weights(classifiers).tolist()
    rows = numpy.concatenate([numpy.arange(*of_sentence) for of_sentence in bounds])
    rough = torch.empty(len(bounds), len(rounded.names), dtype=torch.float32)
    for some, products in rounded.products(torch.from_numpy(unit[rows])):
        first, row = 0, 0
        for length, same in groupby(end - start for start, end in bounds):
            n = len(list(same))
            own = products[row : row + n * length].view(n, length, -1)
            mixed = own.amax(dim=1).float().mul_(piece)
            mixed.add_(own[:, 0], alpha=sentence)
            rough[first : first + n, some] = mixed
            first, row = first + n, row + n * length
    constant = prior * torch.from_numpy(_param(classifiers, "prior"))
    return rough.mul_(rounded.scales).add_(constant)


class ExactSkills(NamedTuple):
    """The parameters of ``skill_classifiers``, numpy's arrays."""

    names: numpy.ndarray
    prior: numpy.ndarray
    weights: numpy.ndarray
    bias: numpy.ndarray

    @classmethod
    def of(cls, classifiers: Model) -> "ExactSkills":
        names, prior = _param(classifiers, "names"), _param(classifiers, "prior")
        weights = numpy.asarray(classifier_weights(classifiers))
        return cls(names, prior, weights, _param(classifiers, "bias"))

    def rank(
        self, unit: numpy.ndarray, rows: numpy.ndarray, literal: numpy.ndarray, n: int
    ) -> Ranked:
        """The n best of these rows by their logits. unit: the vectors of a sentence and its
        pieces; best of what is returned are rows of it."""
        sentence, piece, prior, match = self.weights
        cosines = self.names[rows] @ unit.T
        best = cosines.argmax(axis=1)
        logits = sentence * cosines[:, 0] + piece * cosines.max(axis=1)
        logits += prior * self.prior[rows] + match * literal
        logits += self.bias
        order = numpy.lexsort((rows, -logits))[:n]
        kept = logits[order]
        ranks = (logits > kept[:, None]).sum(axis=1)
        return Ranked(rows[order], ranks, kept, literal[order], best[order])
