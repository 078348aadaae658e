"""How likely it is that a skill the ranker puts first is right: calibrated probabilities.

P(right) = P(the sentence asks for anything) · P(right | it asks), a logistic regression each,
fitted on judged sentences (Platt 1999). Boilerplate fails the first, a near miss the second.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
import srsly

from .errors import Errors
from .skills import Scores

FORMAT = "spacy_skills.Calibration.v1"
# Keeps the logarithms of probabilities of 0 and 1 finite.
SMALL = 1e-4
# What P(asks) is read from besides the sentence's vector, and what P(right | asks) is.
N_ASKS, N_RIGHT = 3, 4


class Point(NamedTuple):
    """Of the skills with at least this probability this share was right."""

    threshold: float
    precision: float


class Calibration:
    """asks: weights [width + N_ASKS + 1], right: weights [N_RIGHT + 1], the bias last; curve:
    points of rising threshold, from judged sentences."""

    def __init__(
        self, asks: numpy.ndarray, right: numpy.ndarray, curve: Sequence[Point]
    ) -> None:
        self.asks = numpy.asarray(asks, dtype="float32")
        self.right = numpy.asarray(right, dtype="float32")
        self.curve = [Point(*point) for point in curve]

    def asking(self, scores: Scores) -> numpy.ndarray:
        """The probability that each sentence asks for a skill at all, [sentences]."""
        return logistic(self.asks, asking_features(scores))

    def probabilities(
        self, scores: Scores, sentence: int, rows: numpy.ndarray, asking: float
    ) -> numpy.ndarray:
        """The probability that the skill in each of these rows is right, [rows]."""
        features = right_features(scores, sentence, rows)
        return asking * logistic(self.right, features)

    def threshold(self, precision: float) -> float:
        """The least probability at which so large a share of the skills above it was right.
        Raises ValueError if it is not reached."""
        for point in self.curve:
            if point.precision >= precision:
                return point.threshold
        best = max((point.precision for point in self.curve), default=0.0)
        raise ValueError(Errors.S902.format(precision=precision, best=best))

    def to_bytes(self) -> bytes:
        msg = {"asks": self.asks, "right": self.right, "curve": self.curve}
        return srsly.msgpack_dumps({"format": FORMAT, **msg})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Calibration":
        """Raises ValueError if the data is damaged."""
        try:
            msg = srsly.msgpack_loads(data)
            if msg["format"] != FORMAT or len(msg["right"]) != N_RIGHT + 1:
                raise ValueError(msg["format"])
            calibration = cls(msg["asks"], msg["right"], msg["curve"])
            if not numpy.isfinite(calibration.asks).all():
                raise ValueError("a weight is not finite")
        except (KeyError, TypeError, ValueError) as err:
            raise ValueError(Errors.S903.format(reason=err)) from err
        return calibration


def asking_features(scores: Scores) -> numpy.ndarray:
    """[sentences, width + N_ASKS]: the sentence's vector, log-odds of the spanner's most likely
    token and of their mean, log of their number."""
    asked = scores.query.segments.asked
    own = [(log_odds(a.max()), log_odds(a.mean()), numpy.log(len(a))) for a in asked]
    vectors = numpy.asarray(scores.sentences)
    return numpy.hstack([vectors, numpy.array(own, dtype="float32")])


def right_features(scores: Scores, sentence: int, rows: numpy.ndarray) -> numpy.ndarray:
    """[rows, N_RIGHT]: logit, strength of the literal match, log of the rank among all skills,
    log of the sentence's number of tokens."""
    logits = numpy.asarray(scores.logits)[sentence]
    literal = numpy.asarray(scores.query.literal)[sentence]
    ranks = (logits > logits[rows, None]).sum(axis=1)
    length = len(scores.query.segments.asked[sentence])
    columns = [
        logits[rows],
        literal[rows],
        numpy.log1p(ranks),
        numpy.full(len(rows), numpy.log(length)),
    ]
    return numpy.stack(columns, axis=1).astype("float32")


def logistic(weights: numpy.ndarray, features: numpy.ndarray) -> numpy.ndarray:
    """weights: [features + 1], the bias last."""
    return 1 / (1 + numpy.exp(-(features @ weights[:-1] + weights[-1])))


def log_odds(probability: float) -> float:
    return float(numpy.log((probability + SMALL) / (1 - probability + SMALL)))
