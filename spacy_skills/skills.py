"""One binary classifier per skill over the vectors of a sentence and its pieces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
from spacy.util import registry
from thinc.api import Model, Ops, get_array_module
from thinc.types import Floats1d, Floats2d, Ints1d, Ints2d

from .phrases import Segments
from .taxonomy import Taxonomy
from .vectors import normalise

# What the untrained recipe weighs its four terms with, found on the validation sets
# (docs/experiments.md), and the logit at which its probabilities balance.
START_WEIGHTS = {"sentence": 12.0, "phrase": 8.0, "prior": 0.3, "literal": 6.0}
START_BIAS = -10.0
# What the logit of a pair has in training over one of all pairs: a sampler's batch holds
# one positive to a few negatives. Chosen for random negatives on the validation sets, together
# with the learning rate (docs/experiments.md, 4).
SAMPLING_LOGIT = 4.5


@dataclass
class Query:
    """Which skills to score, for which sentences.

    literal: [sentences, len(rows)] strength of the literal match, 0 to 1.
    rows: the skills' rows in the taxonomy; None for all.
    """

    segments: Segments
    literal: Floats2d
    rows: Ints1d | None = None


def literal_matrix(
    strengths: Sequence[Mapping[int, float]], rows: Sequence[int] | None, n_skills: int
) -> numpy.ndarray:
    """A query's literal matches, [sentences, skills] float32, of these rows or of all n_skills.

    strengths: of each sentence, by the skills' rows."""
    columns = range(n_skills) if rows is None else rows
    place = {row: column for column, row in enumerate(columns)}
    literal = numpy.zeros((len(strengths), len(columns)), dtype="float32")
    for i, of_sentence in enumerate(strengths):
        for row, strength in of_sentence.items():
            if row in place:
                literal[i, place[row]] = strength
    return literal


@dataclass
class Scores:
    """logits and best, both [sentences, skills]; best[i, j] is the row in segments.spans
    of the piece of sentence i (or of the sentence itself) that lies closest to skill j.
    sentences: unit vectors [sentences, width]."""

    query: Query
    logits: Floats2d
    best: Ints2d
    sentences: Floats2d

    def to_cpu(self, ops: Ops) -> "Scores":
        """The same with numpy's arrays."""
        query = replace(self.query, literal=ops.to_numpy(self.query.literal))
        arrays = (self.logits, self.best, self.sentences)
        return Scores(query, *map(ops.to_numpy, arrays))


@registry.architectures("spacy_skills.SkillRanker.v1")
def build_skill_ranker(
    encoder: Model[Segments, Floats2d],
    projection: bool = True,
    skill_rate: float = 0.0,
) -> Model[Query, Scores]:
    """Encoder, a projection that all skills share, and each skill's classifier.

    projection: learn a residual linear map of the encoder's vectors, the identity at first.
    skill_rate: how fast each skill's own weights move from the vectors of its names,
        relative to the learning rate; 0 keeps them there.
    """
    layers: list[Model] = [encoder]
    if projection:
        layers.append(shared_projection())
    layers.append(skill_classifiers(skill_rate))
    return skill_ranker(layers)


def skill_ranker(layers: list[Model]) -> Model[Query, Scores]:
    """Encoder, any layers on its vectors, and classifiers of (vectors, query) last."""
    return Model("skill_ranker", _forward_ranker, init=_init_ranker, layers=layers)


def shared_projection() -> Model[Floats2d, Floats2d]:
    """x + W x + b with W [nI, nI] and b [nI] zero at first.

    Thinc's residual(Linear) in a third of the time on a CPU: blis, which Linear multiplies
    with, is slower than numpy's BLAS here.
    """
    return Model(
        "shared_projection",
        _forward_projection,
        init=_init_projection,
        dims={"nI": None, "nO": None},
        params={"W": None, "b": None},
    )


def _init_projection(model: Model, X: Floats2d | None = None, Y: Any = None) -> Model:
    if X is not None:
        model.set_dim("nI", X.shape[1])
        model.set_dim("nO", X.shape[1])
    width = model.get_dim("nI")
    model.set_param("W", model.ops.alloc2f(width, width))
    model.set_param("b", model.ops.alloc1f(width))
    return model


def _forward_projection(
    model: Model, vectors: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    weights = model.get_param("W")

    def backprop_projection(d_projected: Floats2d) -> Floats2d:
        model.inc_grad("W", d_projected.T @ vectors)
        model.inc_grad("b", d_projected.sum(axis=0))
        return d_projected + d_projected @ weights

    return vectors + vectors @ weights.T + model.get_param("b"), backprop_projection


def _init_ranker(model: Model, X: Any = None, Y: Any = None) -> Model:
    encoder, *projection, classifiers = model.layers
    encoder.initialize()
    width = encoder.get_dim("nO")
    for layer in projection:
        sample = layer.ops.alloc2f(1, width)
        layer.initialize(X=sample, Y=sample)
    classifiers.set_dim("nI", width)
    return model


def _forward_ranker(
    model: Model, query: Query, is_train: bool
) -> tuple[Scores, Callable]:
    encoder, *projection, classifiers = model.layers
    vectors, backprop_encoder = encoder(query.segments, is_train)
    backprops = [backprop_encoder]
    for layer in projection:
        vectors, backprop_projection = layer(vectors, is_train)
        backprops.append(backprop_projection)
    scores, backprop_scores = classifiers((vectors, query), is_train)

    def backprop_ranker(d_logits: Floats2d) -> Any:
        d_vectors = backprop_scores(d_logits)
        for backprop in reversed(backprops):
            d_vectors = backprop(d_vectors)
        return d_vectors

    return scores, backprop_ranker


def skill_classifiers(skill_rate: float = 0.0) -> Model:
    """logit = a·cos(sentence) + b·max cos(piece) + c·prior + d·literal + e.

    Parameters: names [nO, nI], unit vectors, and prior [nO] are set once and stay;
    weights [4] are the logarithms of (a, b, c, d) relative to their start, so that none
    turns negative; bias [1] is e; with a skill_rate also offset [nO, nI + 1], each
    skill's own departure from its names and prior.

    Sampled pairs say nothing of c and d, which stay as they are. Every skill is given the
    same ratio of positives to negatives: in training the prior is left out and the bias
    raised, as after any sampling by outcome (King & Zeng 2001, §4.1). And it is a literal
    match that made the label.
    """
    params: dict[str, Any] = {
        "names": None,
        "prior": None,
        "weights": None,
        "bias": None,
    }
    if skill_rate:
        params["offset"] = None
    return Model(
        "skill_classifiers",
        _forward_classifiers,
        dims={"nO": None, "nI": None},
        params=params,
        attrs={"skill_rate": skill_rate},
    )


def clear(layer: Model) -> None:
    """Forget its parameters and dimensions (of the classifiers: all skills), so that it can take
    others."""
    for name in layer.param_names:
        layer.set_param(name, None)
    for name in layer.dim_names:
        layer.set_dim(name, None, force=True)  # type: ignore[arg-type]


def set_skills(classifiers: Model, names: Floats2d, prior: Floats1d) -> None:
    """Give the classifiers their start: unit vectors [skills, width], priors [skills]."""
    ops = classifiers.ops
    clear(classifiers)
    classifiers.set_dim("nO", len(names))
    classifiers.set_dim("nI", names.shape[1])
    classifiers.set_param("names", ops.asarray2f(names))
    classifiers.set_param("prior", ops.asarray1f(prior))
    classifiers.set_param("weights", ops.alloc1f(len(START_WEIGHTS)))
    classifiers.set_param("bias", ops.asarray1f([START_BIAS]))
    if classifiers.attrs["skill_rate"]:
        offset = ops.alloc2f(len(names), names.shape[1] + 1)
        classifiers.set_param("offset", offset)


def skill_vectors(
    taxonomy: Taxonomy,
    encode: Callable[[list[str]], Floats2d],
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Floats2d:
    """Unit vectors [skills, width]: name + mean of all names + "name: description", and for
    skills with texts their mean.

    encode: texts to unit vectors [texts, width]. texts: of skills, by URI; others are ignored.
    """
    skills = taxonomy.skills
    names = encode([skill.name for skill in skills])
    described = encode([f"{skill.name}: {skill.description}" for skill in skills])
    alternatives = _sums(encode, [skill.alt_names for skill in skills])
    vectors = names + normalise(names + alternatives) + described
    if texts:
        own = _sums(encode, [texts.get(skill.uri, ()) for skill in skills])
        vectors += normalise(own)
    return normalise(vectors)


def _sums(
    encode: Callable[[list[str]], Floats2d], groups: Sequence[Sequence[str]]
) -> Floats2d:
    """The sum of the vectors of each group of texts, [groups, width]."""
    vectors = encode([text for group in groups for text in group])
    sums: Any = get_array_module(vectors).zeros(
        (len(groups), vectors.shape[1]), dtype="float32"
    )
    end = 0
    for row, group in enumerate(groups):
        start, end = end, end + len(group)
        sums[row] = vectors[start:end].sum(axis=0)
    return sums


def log_prior(counts: numpy.ndarray) -> numpy.ndarray:
    """Standardised log(3 + count): how often ads name each skill. Zeros if all are alike."""
    logs = numpy.log(3 + numpy.asarray(counts, dtype="float64"))
    if not numpy.ptp(logs):
        # The rounded mean of equal numbers may differ from them.
        return numpy.zeros(logs.shape, dtype="float32")
    return ((logs - logs.mean()) / logs.std()).astype("float32")


def _forward_classifiers(
    model: Model, vectors_query: tuple[Floats2d, Query], is_train: bool
) -> tuple[Scores, Callable]:
    vectors, query = vectors_query
    ops = model.ops
    rate = model.attrs["skill_rate"]
    rows = slice(None) if query.rows is None else query.rows
    weights = classifier_weights(model)
    skills = model.get_param("names")[rows]
    prior = model.get_param("prior")[rows]
    own_bias: Any = 0.0
    if rate:
        offset = model.get_param("offset")[rows]
        skills = skills + rate * offset[:, :-1]
        own_bias = rate * offset[:, -1]

    unit, backprop_unit = _normalise(vectors)
    cosines = unit @ skills.T
    starts = ops.asarray1i(query.segments.starts)
    whole = cosines[starts]
    best = _best_of_groups(ops, cosines, query.segments.starts)
    piece = ops.xp.take_along_axis(cosines, best, axis=0)
    logits = weights[0] * whole + weights[1] * piece + weights[3] * query.literal
    logits += model.get_param("bias") + own_bias
    logits += SAMPLING_LOGIT if is_train else weights[2] * prior

    def backprop_classifiers(d_logits: Floats2d) -> Floats2d:
        d_weights = [(d_logits * whole).sum(), (d_logits * piece).sum(), 0.0, 0.0]
        model.inc_grad("weights", ops.asarray1f(d_weights) * weights)
        model.inc_grad("bias", d_logits.sum().reshape((1,)))
        d_cosines = ops.alloc2f(*cosines.shape)
        d_cosines[starts] = weights[0] * d_logits
        columns = ops.xp.arange(d_logits.shape[1])
        # A (row, column) pair occurs once: every sentence has its own rows.
        d_cosines[best, columns] += weights[1] * d_logits
        if rate:
            d_own = ops.xp.hstack(
                [d_cosines.T @ unit, d_logits.sum(axis=0, keepdims=True).T]
            )
            d_offset = ops.alloc2f(*model.get_param("offset").shape)
            d_offset[rows] = rate * d_own
            model.inc_grad("offset", d_offset)
        return backprop_unit(d_cosines @ skills)

    return Scores(query, logits, best, unit[starts]), backprop_classifiers


def classifier_weights(classifiers: Model) -> Floats1d:
    """(a, b, c, d) of ``skill_classifiers``."""
    ops = classifiers.ops
    start = ops.asarray1f(list(START_WEIGHTS.values()))
    return start * ops.xp.exp(classifiers.get_param("weights"))


def _best_of_groups(ops: Ops, cosines: Floats2d, starts: list[int]) -> Ints2d:
    """Row of the largest value in each group of rows, [groups, columns]."""
    best = ops.alloc2i(len(starts), cosines.shape[1])
    for group, (first, end) in enumerate(zip(starts, [*starts[1:], len(cosines)])):
        best[group] = first + cosines[first:end].argmax(axis=0)
    return best


def _normalise(vectors: Floats2d) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    unit = normalise(vectors)
    norms = (vectors**2).sum(axis=1, keepdims=True) ** 0.5

    def backprop_normalise(d_unit: Floats2d) -> Floats2d:
        along = (d_unit * unit).sum(axis=1, keepdims=True)
        return (d_unit - unit * along) / (norms + (norms == 0))

    return unit, backprop_normalise
