"""Fits a ranker's calibration to judged sentences, and measures it on those left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import torch
from spacy.language import Language

from .benchmark import make_sentence_doc
from .calibration import (
    Calibration,
    Point,
    asking_features,
    logistic,
    right_features,
)
from .errors import Errors
from .judged import JudgedSpan
from .ranker import SkillRanker
from .taxonomy import Taxonomy

FOLDS = 5
# Of each kind of sentences and of pairs; fewer say nothing.
LEAST = 10
# Fewer pairs above a threshold are no estimate of the precision there.
LEAST_PAIRS = 50
CURVE_POINTS = 200
BINS = 10


@dataclass
class Judgements:
    """What the two regressions are fitted to: sentences, and pairs of one of them (by its
    number, ascending) and a skill.

    asking, right: features [sentences, …] and [pairs, …]; asks, is_right: what was judged.
    """

    asking: numpy.ndarray
    asks: numpy.ndarray
    right: numpy.ndarray
    is_right: numpy.ndarray
    sentence: numpy.ndarray


class CrossFitted(NamedTuple):
    """Probabilities of sentences and pairs by regressions that have not seen the sentence."""

    asks: numpy.ndarray
    right: numpy.ndarray


def judgements(
    nlp: Language, ranker: SkillRanker, judged: Sequence[JudgedSpan]
) -> Judgements:
    """The features of the judged sentences, each ranked as a whole, and of its candidates.
    Raises ValueError if there are too few of a kind."""
    known = [(span, _pairs(span, ranker.taxonomy)) for span in judged]
    known = [(span, pairs) for span, pairs in known if pairs and span.sentence.strip()]
    later = nlp.pipe_names[nlp.pipe_names.index(ranker.name) :]
    texts = (make_sentence_doc(nlp, span.sentence) for span, _ in known)
    asking: list[numpy.ndarray] = []
    right: list[numpy.ndarray] = []
    for scores, _ in ranker.scored(nlp.pipe(texts, disable=later)):
        asking.append(asking_features(scores))
        for i in range(len(scores.logits)):
            _, pairs = known[len(right)]
            right.append(right_features(scores, i, numpy.array(list(pairs))))
    found = Judgements(
        asking=numpy.concatenate(asking or [numpy.zeros((0, 1))]),
        asks=numpy.array([span.asks for span, _ in known], dtype=bool),
        right=numpy.concatenate(right or [numpy.zeros((0, 1))]),
        is_right=numpy.array([v for _, p in known for v in p.values()], dtype=bool),
        sentence=numpy.repeat(numpy.arange(len(known)), [len(p) for _, p in known]),
    )
    _check(found)
    return found


def _pairs(span: JudgedSpan, taxonomy: Taxonomy) -> dict[int, bool]:
    """Whether the skill is right, by its row."""
    uris = dict.fromkeys(span.rejected, False) | dict.fromkeys(span.chosen, True)
    return {taxonomy.index(u): right for u, right in uris.items() if u in taxonomy}


def _check(found: Judgements) -> None:
    counts = {
        "asking": int(found.asks.sum()),
        "other": int((~found.asks).sum()),
        "right": int(found.is_right.sum()),
        "wrong": int((~found.is_right).sum()),
    }
    if min(counts.values()) < LEAST:
        raise ValueError(Errors.S904.format(least=LEAST, **counts))


def fit_calibration(
    found: Judgements, *, decay: float = 3e-4, seed: int = 0
) -> tuple[Calibration, CrossFitted]:
    """The calibration of all judgements, with the curve of the cross-fitted probabilities.

    decay: weight of the squared weights of standardised features in the loss.
    """
    n = len(found.asks)
    folds = numpy.random.default_rng(seed).permutation(n) % FOLDS
    asks, right = numpy.zeros(n), numpy.zeros(len(found.is_right))
    for fold in range(FOLDS):
        held = folds == fold
        weights = fit_logistic(found.asking[~held], found.asks[~held], decay=decay)
        asks[held] = logistic(weights, found.asking[held])
    asking = asks[found.sentence]
    fold_of_pair = folds[found.sentence]
    for fold in range(FOLDS):
        held = fold_of_pair == fold
        weights = fit_logistic(
            found.right[~held], found.is_right[~held], asking[~held], decay=decay
        )
        right[held] = asking[held] * logistic(weights, found.right[held])
    calibration = Calibration(
        fit_logistic(found.asking, found.asks, decay=decay),
        fit_logistic(found.right, found.is_right, asking, decay=decay),
        precision_curve(right, found.is_right),
    )
    return calibration, CrossFitted(asks, right)


def fit_logistic(
    features: numpy.ndarray,
    labels: numpy.ndarray,
    factor: numpy.ndarray | None = None,
    *,
    decay: float,
) -> numpy.ndarray:
    """Weights [features + 1], the bias last, of greatest likelihood where
    P(label) = factor · logistic(weights, features); factor is 1 if None."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-6] = 1.0
    # Many features together are worth a few: the decay should not depend on their number.
    spread = spread * max(1.0, features.shape[1] / 24) ** 0.5
    x = torch.from_numpy((features - mean) / spread).double()
    y = torch.from_numpy(labels).double()
    scale = torch.ones_like(y) if factor is None else torch.from_numpy(factor).double()
    weights = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=500, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        p = scale * torch.sigmoid(x @ weights[:-1] + weights[-1])
        loss = torch.nn.functional.binary_cross_entropy(p.clamp(1e-7, 1 - 1e-7), y)
        loss = loss + decay * (weights[:-1] ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    fitted = weights.detach().numpy()
    plain = fitted[:-1] / spread
    return numpy.append(plain, fitted[-1] - plain @ mean)


def precision_curve(values: numpy.ndarray, labels: numpy.ndarray) -> list[Point]:
    """The precision above each of some thresholds, rising ones."""
    order = numpy.argsort(-values)
    precision = numpy.cumsum(labels[order]) / numpy.arange(1, len(order) + 1)
    places = numpy.linspace(
        min(LEAST_PAIRS, len(order)) - 1, len(order) - 1, CURVE_POINTS
    )
    return [
        Point(float(values[order[place]]), float(precision[place]))
        for place in sorted({int(place) for place in places}, reverse=True)
    ]


class Bin(NamedTuple):
    """Probabilities that are next to each other: how many, their mean, the share that came
    true."""

    n: int
    predicted: float
    true: float


def reliability(values: numpy.ndarray, labels: numpy.ndarray) -> list[Bin]:
    """Ten bins of equal number."""
    parts = numpy.array_split(numpy.argsort(values, kind="stable"), BINS)
    return [
        Bin(len(part), float(values[part].mean()), float(labels[part].mean()))
        for part in parts
        if len(part)
    ]


def expected_calibration_error(values: numpy.ndarray, labels: numpy.ndarray) -> float:
    """Mean distance of prediction and truth over the bins of ``reliability`` (Naeini et al.
    2015)."""
    bins = reliability(values, labels)
    return sum(b.n * abs(b.predicted - b.true) for b in bins) / len(values)
