"""How likely it is that a skill the ranker puts first is right: calibrated probabilities.

P(right) = P(the sentence asks for anything) · P(right | it asks), a logistic regression each,
fitted on judged sentences (Platt 1999). Boilerplate fails the first, a near miss the second. What
a sentence asks for by itself is then seen among its neighbours: benefits stand with benefits.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy
import srsly

from .compressed import loads
from .errors import Errors
from .phrases import Marks
from .shortlist import Ranked

FORMAT = "spacy_skills.Calibration.v2"
# P(asks) looked at the encoder's vectors.
FIRST_FORMAT = "spacy_skills.Calibration.v1"
# Whose vector of a sentence P(asks) looks at.
Reader = Literal["encoder", "spanner"]
# Keeps the logarithms of probabilities of 0 and 1 finite.
SMALL = 1e-4
# What P(asks) is read from besides the sentence's vector, what it is read from among its
# neighbours, and what P(right | asks) is.
N_ASKS, N_CONTEXT, N_RIGHT = 3, 6, 4
# Neighbours count as these groups, by their distance.
DISTANCES = ((1,), (2, 3))


class Point(NamedTuple):
    """Of the skills with at least this probability this share was right."""

    threshold: float
    precision: float


class Calibration:
    """Weights with the bias last: asks [width + N_ASKS + 1], context [N_CONTEXT + 1], right
    [N_RIGHT + 1]. curve: points of rising threshold, from judged sentences. reader: whose vectors
    have this width."""

    def __init__(
        self,
        asks: numpy.ndarray,
        context: numpy.ndarray,
        right: numpy.ndarray,
        curve: Sequence[Point],
        reader: Reader = "encoder",
    ) -> None:
        self.asks = numpy.asarray(asks, dtype="float32")
        self.context = numpy.asarray(context, dtype="float32")
        self.right = numpy.asarray(right, dtype="float32")
        self.curve = [Point(*point) for point in curve]
        self.reader = reader

    def asking_alone(
        self, marks: Sequence[Marks], vectors: numpy.ndarray
    ) -> numpy.ndarray:
        """Log-odds that each sentence asks for a skill, by itself, [sentences], see
        ``asking_features``. Raises ValueError for vectors of another width than the
        calibration's."""
        self.check_width(vectors.shape[1])
        return linear(self.asks, asking_features(marks, vectors))

    def check_width(self, width: int) -> None:
        """Raises ValueError if its reader's vectors had another width."""
        weights, expected = len(self.asks), width + N_ASKS + 1
        if weights != expected:
            raise ValueError(
                Errors.S025.format(
                    reader=self.reader, weights=weights, expected=expected
                )
            )

    def asking(self, alone: numpy.ndarray, docs: numpy.ndarray) -> numpy.ndarray:
        """The probability that each sentence asks for a skill, [sentences], from the log-odds of
        all of them, see ``context_features``."""
        return logistic(self.context, context_features(alone, docs))

    def right_if_asking(self, ranked: Ranked, length: int) -> numpy.ndarray:
        """The probability that each of these skills is right, if the sentence asks for one at
        all, [skills]. length: the sentence's number of tokens."""
        return logistic(self.right, right_features(ranked, length))

    def threshold(self, precision: float) -> float:
        """The least probability at which so large a share of the skills above it was right.
        Raises ValueError if it is not reached."""
        for point in self.curve:
            if point.precision >= precision:
                return point.threshold
        best = max((point.precision for point in self.curve), default=0.0)
        raise ValueError(Errors.S902.format(precision=precision, best=best))

    def to_bytes(self) -> bytes:
        weights = {"asks": self.asks, "context": self.context, "right": self.right}
        settings = {"format": FORMAT, "reader": self.reader, "curve": self.curve}
        return srsly.msgpack_dumps({**settings, **weights})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Calibration":
        """Raises ValueError if the data is damaged."""
        try:
            msg = loads(data)
            if msg["format"] not in (FORMAT, FIRST_FORMAT):
                raise ValueError(msg["format"])
            reader: Reader = "encoder"
            if msg["format"] == FORMAT:
                reader = msg["reader"]
            if reader not in get_args(Reader):
                raise ValueError(f"nothing is called {reader}"[:200])
            asks, context, right = msg["asks"], msg["context"], msg["right"]
            if (len(context), len(right)) != (N_CONTEXT + 1, N_RIGHT + 1):
                raise ValueError("there are too many weights, or too few")
            if not all(numpy.isfinite(part).all() for part in (asks, context, right)):
                raise ValueError("a weight is not finite")
            calibration = cls(asks, context, right, msg["curve"], reader)
            if {calibration.asks.ndim, calibration.context.ndim} != {1}:
                raise ValueError("the weights are no vectors")
            if not numpy.isfinite(numpy.array(calibration.curve, dtype="float")).all():
                raise ValueError("a point of the curve is not finite")
        except (KeyError, OverflowError, TypeError, ValueError) as err:
            raise ValueError(Errors.S903.format(reason=err)) from err
        return calibration


def asking_features(marks: Sequence[Marks], vectors: numpy.ndarray) -> numpy.ndarray:
    """[sentences, width + N_ASKS]: the sentence's vector, log-odds of the spanner's most likely
    token and of their mean, log of their number. vectors: [sentences, width]."""
    asked = [found.asked for found in marks]
    shares = numpy.array([(a.max(), a.mean()) for a in asked]).reshape(-1, 2)
    lengths = numpy.log([len(a) for a in asked])
    return numpy.column_stack([vectors, log_odds(shares), lengths]).astype("float32")


def context_features(alone: numpy.ndarray, docs: numpy.ndarray) -> numpy.ndarray:
    """[sentences, N_CONTEXT]: their own log-odds, the mean of those near before and near after,
    further before and further after, and whether the doc has no other.

    docs: a number for each sentence, [sentences]; those of one doc follow each other."""
    columns = [alone]
    for distances in DISTANCES:
        for sign in (-1, 1):
            total, count = numpy.zeros(len(alone)), numpy.zeros(len(alone))
            for distance in distances:
                here, there = slice(distance, None), slice(None, -distance)
                same = docs[here] == docs[there]
                to, of = (here, there) if sign < 0 else (there, here)
                total[to] += numpy.where(same, alone[of], 0)
                count[to] += same
            columns.append(total / numpy.maximum(count, 1))
    _, place, sizes = numpy.unique(docs, return_inverse=True, return_counts=True)
    columns.append((sizes == 1)[place].astype("float64"))
    return numpy.stack(columns, axis=1)


def right_features(ranked: Ranked, length: int) -> numpy.ndarray:
    """[skills, N_RIGHT]: logit, strength of the literal match, log of the rank among all
    skills, log of the sentence's number of tokens."""
    columns = [
        ranked.logits,
        ranked.literal,
        numpy.log1p(ranked.ranks),
        numpy.full(len(ranked.rows), numpy.log(length)),
    ]
    return numpy.stack(columns, axis=1).astype("float32")


def linear(weights: numpy.ndarray, features: numpy.ndarray) -> numpy.ndarray:
    """Log-odds. weights: [features + 1], the bias last."""
    return features @ weights[:-1] + weights[-1]


def logistic(weights: numpy.ndarray, features: numpy.ndarray) -> numpy.ndarray:
    """Probabilities. weights: [features + 1], the bias last."""
    return expit(linear(weights, features))


def expit(log_odds: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-log_odds))


def log_odds(probabilities: numpy.ndarray) -> numpy.ndarray:
    return numpy.log((probabilities + SMALL) / (1 - probabilities + SMALL))
