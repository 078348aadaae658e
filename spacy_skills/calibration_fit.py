"""Fits a ranker's calibration to judged sentences, and measures it on those left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy
import torch
from spacy.language import Language

from .asking import spanner_vectors
from .benchmark import make_sentence_doc
from .calibration import (
    Calibration,
    Point,
    Reader,
    asking_features,
    context_features,
    expit,
    linear,
    right_features,
)
from .errors import Errors
from .judged import JudgedSpan
from .ranker import SkillRanker
from .shortlist import look_up
from .span_training import MarkedSentence
from .spanner import OUTSIDE
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
    """What the regressions are fitted to: sentences, and pairs of one of them (by its number,
    ascending) and a skill.

    reader: whose vectors are among the features of asking; asking, right: features [sentences, …]
    and [pairs, …]; asks, is_right: what was judged; ad: a number that the sentences of one ad
    have in common, ascending; text: that of the first ad with the same text.
    """

    reader: Reader
    asking: numpy.ndarray
    asks: numpy.ndarray
    ad: numpy.ndarray
    text: numpy.ndarray
    right: numpy.ndarray
    is_right: numpy.ndarray
    sentence: numpy.ndarray


class CrossFitted(NamedTuple):
    """Probabilities of sentences and pairs by regressions that have not seen the ad, nor a copy
    of it."""

    asks: numpy.ndarray
    right: numpy.ndarray


def judgements(
    nlp: Language,
    ranker: SkillRanker,
    judged: Sequence[JudgedSpan],
    marked: Sequence[MarkedSentence] = (),
) -> Judgements:
    """The features of the judged sentences, each ranked as a whole and by itself, and of their
    candidates; and of marked sentences, which ask for a skill if there is a mark, and may belong
    to one ad. Raises ValueError if there are too few of a kind."""
    known = [(span, _pairs(span, ranker.taxonomy)) for span in judged]
    # The ranker passes over sentences without letters and digits.
    known = [(span, p) for span, p in known if p and _has_words(span.sentence)]
    lines = [m for m in marked if _has_words("".join(m.words))]
    texts = [span.sentence for span, _ in known] + [" ".join(m.words) for m in lines]
    later = nlp.pipe_names[nlp.pipe_names.index(ranker.name) :]
    docs = nlp.pipe((make_sentence_doc(nlp, t) for t in texts), disable=later)
    reader: Reader = "encoder" if ranker.spanner is None else "spanner"
    asking: list[numpy.ndarray] = []
    right: list[numpy.ndarray] = []
    for scores, _ in ranker.scored(docs):
        first = sum(map(len, asking))
        marks = scores.query.segments.marks
        vectors = spanner_vectors(marks) if reader == "spanner" else scores.sentences
        asking.append(asking_features(marks, numpy.asarray(vectors)))
        for i, (_, pairs) in enumerate(known[first : first + len(asking[-1])]):
            ranked = look_up(scores, i, numpy.array(list(pairs)))
            length = len(marks[i].asked)
            right.append(right_features(ranked, length))
    asks = [span.asks for span, _ in known] + [_is_marked(m) for m in lines]
    ad = _numbers([None] * len(known) + [m.ad for m in lines])
    found = Judgements(
        reader=reader,
        asking=numpy.concatenate(asking or [numpy.zeros((0, 1))]),
        asks=numpy.array(asks, dtype=bool),
        ad=ad,
        text=_first_copies(ad, texts),
        right=numpy.concatenate(right or [numpy.zeros((0, 1))]),
        is_right=numpy.array([v for _, p in known for v in p.values()], dtype=bool),
        sentence=numpy.repeat(numpy.arange(len(known)), [len(p) for _, p in known]),
    )
    _check(found)
    return found


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _pairs(span: JudgedSpan, taxonomy: Taxonomy) -> dict[int, bool]:
    """Whether the skill is right, by its row."""
    uris = dict.fromkeys(span.rejected, False) | dict.fromkeys(span.chosen, True)
    return {taxonomy.index(u): right for u, right in uris.items() if u in taxonomy}


def _is_marked(sentence: MarkedSentence) -> bool:
    return any(tag != OUTSIDE for tags in sentence.tags for tag in tags)


def _numbers(ads: Sequence[str | None]) -> numpy.ndarray:
    """Of each sentence's ad; one that follows another of the same ad belongs to it."""
    starts = [ad is None or ad != before for before, ad in zip([None, *ads[:-1]], ads)]
    return numpy.cumsum(starts) - 1


def _first_copies(ad: numpy.ndarray, texts: Sequence[str]) -> numpy.ndarray:
    """Of each sentence the number of the first ad with the same sentences as its own."""
    whole: dict[int, str] = {}
    for number, text in zip(ad.tolist(), texts):
        whole[number] = f"{whole.get(number, '')}{text}\n"
    first: dict[str, int] = {}
    for number, text in whole.items():
        first.setdefault(text, number)
    return numpy.array([first[whole[number]] for number in ad.tolist()], dtype=int)


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

    Each stage is fitted to what the one before says of ads it has not seen.
    decay: weight of the squared weights of standardised features in the loss.
    """
    n_ads = int(found.ad.max()) + 1
    of_ad = numpy.random.default_rng(seed).permutation(n_ads) % FOLDS
    folds = of_ad[found.text]
    alone, asks_weights = _cross_fit(found.asking, found.asks, folds, decay)
    in_context = context_features(alone, found.ad)
    asks, context_weights = _cross_fit(in_context, found.asks, folds, decay)
    factor = expit(asks)
    of_pairs = factor[found.sentence]
    right, right_weights = _cross_fit(
        found.right, found.is_right, folds[found.sentence], decay, of_pairs
    )
    held_out = CrossFitted(factor, of_pairs * expit(right))
    curve = precision_curve(held_out.right, found.is_right)
    fitted = Calibration(
        asks_weights, context_weights, right_weights, curve, found.reader
    )
    return fitted, held_out


def _cross_fit(
    features: numpy.ndarray,
    labels: numpy.ndarray,
    folds: numpy.ndarray,
    decay: float,
    factor: numpy.ndarray | None = None,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Log-odds by weights of the other folds, and the weights of all."""
    values = numpy.zeros(len(labels))
    for fold in range(FOLDS):
        held = folds == fold
        others = None if factor is None else factor[~held]
        weights = fit_logistic(features[~held], labels[~held], others, decay=decay)
        values[held] = linear(weights, features[held])
    return values, fit_logistic(features, labels, factor, decay=decay)


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
