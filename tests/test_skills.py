import numpy
import pytest
import spacy
from numpy.testing import assert_allclose
from thinc.api import NumpyOps

from spacy_skills.phrases import Segments, make_clause_phrases
from spacy_skills.skills import (
    SAMPLING_LOGIT,
    START_BIAS,
    START_WEIGHTS,
    Query,
    log_prior,
    set_skills,
    skill_classifiers,
    skill_vectors,
)

N_SKILLS, WIDTH = 7, 5
nlp = spacy.blank("en")
rng = numpy.random.default_rng(0)
SEGMENTS = Segments.from_docs(
    [nlp.make_doc("bread, pastry and dough"), nlp.make_doc("walls")],
    make_clause_phrases(),
)
VECTORS = rng.normal(size=(len(SEGMENTS.spans), WIDTH))


def unit(rows):
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def make(skill_rate):
    model = skill_classifiers(skill_rate)
    model.ops = NumpyOps()
    names = unit(rng.normal(size=(N_SKILLS, WIDTH))).astype("float32")
    set_skills(model, names, rng.normal(size=N_SKILLS).astype("float32"))
    model.set_param("weights", rng.normal(size=4).astype("float32") * 0.2)
    if skill_rate:
        offset = rng.normal(size=(N_SKILLS, WIDTH + 1)).astype("float32")
        model.set_param("offset", offset)
    return model


def by_hand(model, vectors, literal, rows, is_train):
    """The formula of docs/architecture.md, one pair at a time, in float64."""
    a, b, c, d = numpy.array(list(START_WEIGHTS.values())) * numpy.exp(
        model.get_param("weights").astype("float64")
    )
    rate = model.attrs["skill_rate"]
    logits = numpy.zeros((2, len(rows)))
    groups = ([0, 1, 2, 3], [4])
    for i, group in enumerate(groups):
        for j, row in enumerate(rows):
            skill = model.get_param("names")[row].astype("float64")
            bias = float(model.get_param("bias")[0])
            if rate:
                skill = skill + rate * model.get_param("offset")[row, :-1]
                bias += rate * model.get_param("offset")[row, -1]
            cosines = [unit(vectors[[g]])[0] @ skill for g in group]
            logits[i, j] = a * cosines[0] + b * max(cosines) + d * literal[i, j] + bias
            prior = c * model.get_param("prior")[row]
            logits[i, j] += SAMPLING_LOGIT if is_train else prior
    return logits


@pytest.mark.parametrize("skill_rate", [0.0, 0.5])
@pytest.mark.parametrize("rows", [None, [1, 4, 6]])
def test_logits_and_every_gradient(skill_rate, rows):
    model = make(skill_rate)
    columns = list(range(N_SKILLS)) if rows is None else rows
    literal = rng.random((2, len(columns))).astype("float32")
    query = Query(SEGMENTS, literal, None if rows is None else numpy.array(rows))
    vectors = VECTORS.astype("float32")
    shown = model.predict((vectors, query)).logits
    expected = by_hand(model, VECTORS, literal, columns, False)
    assert_allclose(shown, expected, rtol=1e-4)
    scores, backprop = model((vectors, query), True)
    expected = by_hand(model, VECTORS, literal, columns, True)
    assert_allclose(scores.logits, expected, rtol=1e-4)

    direction = rng.normal(size=scores.logits.shape)
    d_vectors = backprop(direction.astype("float32"))

    def value(vectors=VECTORS):
        logits = by_hand(model, vectors, literal, columns, True)
        return float((logits * direction).sum())

    def differences(array, evaluate):
        numeric = numpy.zeros(array.shape)
        for index in numpy.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + 1e-3
            up = evaluate()
            array[index] = kept - 1e-3
            numeric[index] = (up - evaluate()) / 2e-3
            array[index] = kept
        return numeric

    moved = VECTORS.copy()
    assert_allclose(d_vectors, differences(moved, lambda: value(moved)), atol=2e-2)
    for name in ["weights", "bias"] + (["offset"] if skill_rate else []):
        parameter = model.get_param(name).copy()
        model.set_param(name, parameter)
        numeric = differences(parameter, value)
        if name == "weights":
            # Sampled pairs must not move the prior's and the literal match's.
            numeric[2:] = 0.0
        assert_allclose(model.get_grad(name), numeric, atol=3e-2, rtol=1e-2)
    assert not model.has_grad("names") and not model.has_grad("prior")


def test_best_names_the_closest_piece_of_the_sentence():
    model = make(0.0)
    query = Query(SEGMENTS, numpy.zeros((2, N_SKILLS), dtype="float32"))
    scores = model.predict((VECTORS.astype("float32"), query))
    cosines = unit(VECTORS) @ model.get_param("names").T
    assert (scores.best[0] == cosines[:4].argmax(axis=0)).all()
    assert (scores.best[1] == 4).all()


def test_untrained_weights_are_the_recipe():
    model = skill_classifiers()
    set_skills(model, unit(rng.normal(size=(2, 3))).astype("float32"), numpy.zeros(2))
    assert not model.get_param("weights").any()
    assert model.get_param("bias") == START_BIAS


def test_prior_is_standardised_log_frequency():
    prior = log_prior(numpy.array([0, 10, 1000]))
    expected = numpy.log([3, 13, 1003])
    assert_allclose(prior, (expected - expected.mean()) / expected.std(), rtol=1e-5)
    assert not log_prior(numpy.array([5, 5])).any()
    assert not log_prior(numpy.array([5])).any()
    assert not log_prior(numpy.zeros(11)).any()


def test_skill_vectors_join_name_names_and_description(taxonomy):
    texts = {}

    def encode(batch):
        for text in batch:
            texts.setdefault(text, rng.normal(size=4))
        return unit(numpy.array([texts[text] for text in batch]))

    found = skill_vectors(taxonomy, encode)
    skill = taxonomy.skills[3]
    assert len(skill.alt_names) == 2
    name, first, second, described = unit(
        numpy.array(
            [
                texts[t]
                for t in [
                    skill.name,
                    *skill.alt_names,
                    f"{skill.name}: {skill.description}",
                ]
            ]
        )
    )
    expected = name + unit([(name + first + second) / 3])[0] + described
    assert_allclose(found[3], unit([expected])[0], rtol=1e-5)
