"""One training run on known vectors: the ranker's own model, loss and batches."""

from dataclasses import dataclass
from typing import Literal

import numpy
from thinc.api import Adam, Model
from thinc.types import Floats1d, Floats2d

from ..linear import build_linear_ranker, set_known
from ..loss import masked_cross_entropy, softmax_cross_entropy
from ..mining import find_miners
from ..pairs import PairBatch, PairBatcher
from ..ranker import SkillRanker
from ..sampler import SentencePool
from ..scorer import METRICS, sentence_scores
from ..skills import Query, Scores, build_skill_ranker, set_skills
from .data import EncodedSentences, known_vectors

Loss = Literal["binary", "softmax"]

ROWS_PER_PASS = 64


@dataclass(frozen=True)
class Skills:
    """What every run starts from: the skills' URIs, name vectors [skills, width], prior."""

    uris: tuple[str, ...]
    names: Floats2d
    prior: Floats1d

    @classmethod
    def of(cls, ranker: SkillRanker) -> "Skills":
        classifiers = ranker.model.layers[-1]
        to_numpy = classifiers.ops.to_numpy
        return cls(
            ranker.labels,
            to_numpy(classifiers.get_param("names")),
            to_numpy(classifiers.get_param("prior")),
        )


def start_model(skills: Skills, pool: SentencePool, names: bool) -> Model:
    """names: this package's ranker, from names and prior; else the paper's classifiers."""
    encoder = known_vectors(skills.names.shape[1])
    if names:
        model = build_skill_ranker(encoder)  # type: ignore[arg-type]
        model.initialize()
        set_skills(model.layers[-1], skills.names, skills.prior)
    else:
        model = build_linear_ranker(encoder)  # type: ignore[arg-type]
        model.initialize()
        counts = [len(pool.rows.get(uri, ())) for uri in skills.uris]
        set_known(model.layers[-1], numpy.asarray(counts))
    return model


def train(
    model: Model[Query, Scores],
    skills: Skills,
    data: EncodedSentences,
    pairs: PairBatcher,
    *,
    learn_rate: float,
    epochs: int,
    loss: Loss = "binary",
) -> None:
    """Train in place; a strategy that mines does so at the start of every epoch."""
    optimizer = Adam(learn_rate, L2=0.0, grad_clip=1.0, use_averages=False)
    row_of = {uri: row for row, uri in enumerate(skills.uris)}
    for _ in range(epochs):
        for miner in find_miners(pairs.sampler):
            columns = model.ops.asarray1i([row_of[uri] for uri in data.pool.rows])

            def score(rows: list[int], columns=columns) -> numpy.ndarray:
                query = data.query(model.ops, rows, len(skills.uris), columns)
                return model.ops.to_numpy(model.predict(query).logits)

            miner.mine(data.pool, score)
        for batch in pairs(data.pool):
            _update(model, row_of, data, batch, loss)
            model.finish_update(optimizer)


def _update(
    model: Model[Query, Scores],
    row_of: dict[str, int],
    data: EncodedSentences,
    batch: PairBatch,
    loss: Loss,
) -> None:
    both = [*batch.positives, *batch.negatives]
    rows = {row: i for i, row in enumerate(dict.fromkeys(row for row, _ in both))}
    asked = sorted({row_of[skill] for _, skill in both})
    columns = {row: j for j, row in enumerate(asked)}
    labels = model.ops.alloc2f(len(rows), len(asked))
    mask = model.ops.alloc2f(len(rows), len(asked))
    for row, skill in both:
        mask[rows[row], columns[row_of[skill]]] = 1.0
    for row, skill in batch.positives:
        labels[rows[row], columns[row_of[skill]]] = 1.0
    ops = model.ops
    query = data.query(ops, list(rows), len(row_of), ops.asarray1i(asked))
    scores, backprop = model.begin_update(query)
    if loss == "binary":
        d_logits, _ = masked_cross_entropy(ops, scores.logits, labels, mask)
    else:
        known = ops.alloc2f(*labels.shape)
        for row, i in rows.items():
            for skill in data.pool.skills[row]:
                if row_of[skill] in columns:
                    known[i, columns[row_of[skill]]] = 1.0
        d_logits, _ = softmax_cross_entropy(ops, scores.logits, labels, known)
    backprop(d_logits)  # type: ignore[arg-type]


def evaluate(
    model: Model[Query, Scores], skills: Skills, data: EncodedSentences
) -> numpy.ndarray:
    """Each sentence's scores, [sentences, 4], see SentenceScores."""
    row_of = {uri: row for row, uri in enumerate(skills.uris)}
    values = []
    for start in range(0, len(data), ROWS_PER_PASS):
        rows = list(range(start, min(start + ROWS_PER_PASS, len(data))))
        query = data.query(model.ops, rows, len(skills.uris))
        logits = model.ops.to_numpy(model.predict(query).logits)
        for row, line in zip(rows, logits):
            gold = {row_of[uri] for uri in data.pool.skills[row]}
            values.append(sentence_scores(gold, line))
    return numpy.reshape(values, (-1, len(METRICS)))


def first_sentences(
    model: Model[Query, Scores],
    skills: Skills,
    data: EncodedSentences,
    wanted: list[str],
    n: int,
) -> dict[str, list[str]]:
    """The n sentences that score highest for each wanted skill, a URI, among those that
    do not name it; best first."""
    columns = [skills.uris.index(uri) for uri in wanted]
    blocks = []
    for start in range(0, len(data), ROWS_PER_PASS):
        rows = list(range(start, min(start + ROWS_PER_PASS, len(data))))
        asked = model.ops.asarray1i(columns)
        query = data.query(model.ops, rows, len(skills.uris), asked)
        blocks.append(model.ops.to_numpy(model.predict(query).logits))
    logits = numpy.vstack(blocks)
    first = {}
    for j, uri in enumerate(wanted):
        order = numpy.argsort(-logits[:, j], kind="stable").tolist()
        implied = [row for row in order if columns[j] not in data.literal[row]]
        first[uri] = [data.pool.texts[row] for row in implied[:n]]
    return first
