"""The paper's classifiers, against the formula and finite differences."""

import math

import numpy
import spacy
from conftest import uri
from numpy.testing import assert_allclose

from spacy_skills.compare.data import VectorSegments
from spacy_skills.linear import linear_classifiers, set_known
from spacy_skills.skills import Query

rng = numpy.random.default_rng(0)
VECTORS = rng.normal(size=(5, 4)).astype("float32")
STARTS = [0, 3]


def make():
    model = linear_classifiers()
    model.set_dim("nI", 4)
    set_known(model, numpy.array([3, 1, 0]))
    model.set_param("W", rng.normal(size=(3, 4)).astype("float32"))
    model.set_param("b", rng.normal(size=3).astype("float32"))
    return model


def query(rows=None):
    n = 3 if rows is None else len(rows)
    rows = None if rows is None else numpy.asarray(rows)
    return Query(VectorSegments(VECTORS, STARTS), numpy.zeros((2, n)), rows)


def by_hand(weights, bias):
    x = VECTORS[STARTS].astype("float64")
    x = 2 * x / numpy.linalg.norm(x, axis=1, keepdims=True)  # 2: the root of 4
    return x @ weights.astype("float64").T + bias


def test_logits_are_those_of_logistic_regressions():
    model = make()
    expected = by_hand(model.get_param("W"), model.get_param("b"))
    shown = model.predict((VECTORS, query())).logits
    assert_allclose(shown[:, :2], expected[:, :2], rtol=1e-5)
    assert (shown[:, 2] < -400).all()
    trained, _ = model((VECTORS, query([2, 0])), True)
    assert_allclose(trained.logits, expected[:, [2, 0]], rtol=1e-5)
    assert trained.best.tolist() == [[0, 0], [3, 3]]


def test_gradients_equal_finite_differences():
    model = make()
    out, backprop = model((VECTORS, query([0, 2])), True)
    d_logits = rng.normal(size=out.logits.shape).astype("float32")
    backprop(d_logits)

    def total(weights, bias):
        return float((by_hand(weights, bias)[:, [0, 2]] * d_logits).sum())

    for name in ("W", "b"):
        gradient = model.get_grad(name)
        for index in numpy.ndindex(gradient.shape):
            params = {p: model.get_param(p).astype("float64") for p in ("W", "b")}
            params[name][index] += 1e-5
            up = total(params["W"], params["b"])
            params[name][index] -= 2e-5
            down = total(params["W"], params["b"])
            numeric = (up - down) / 2e-5
            assert math.isclose(gradient[index], numeric, rel_tol=1e-3, abs_tol=1e-5)


def test_as_a_component_it_learns_and_is_saved(
    taxonomy, tiny_encoder, make_example, tmp_path
):
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy_skills.LinearRanker.v1",
        "encoder": {
            "@architectures": "spacy_skills.TransformerEncoder.v1",
            "name": tiny_encoder,
        },
    }
    config = {"model": model, "pretrained": None, "threshold": 0.0}
    ranker = nlp.add_pipe("esco_skills", config=config)
    ranker.initialize(
        lambda: [], nlp=nlp, taxonomy=taxonomy, labels={uri("bread"): 4, uri("sql"): 2}
    )
    examples = [
        make_example(nlp, "in the oven at dawn", ["bread"], ["sql"]),
        make_example(nlp, "queries and tables", ["sql"], ["bread"]),
    ]
    sgd = nlp.create_optimizer()
    sgd.learn_rate = 0.1
    for _ in range(30):
        ranker.update(examples, sgd=sgd)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    for text, key in (("in the oven at dawn", "bread"), ("queries and tables", "sql")):
        doc = loaded(text)
        group = doc.spans["esco_skills"]
        assert group[0].kb_id_ == uri(key)
        assert group.attrs["scores"][0] > 0.9
        # Skills that no sentence names have no classifier.
        assert {span.kb_id_ for span in list(group)[:2]} == {uri("bread"), uri("sql")}
