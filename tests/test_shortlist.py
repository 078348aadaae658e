"""The shortlist against the full ranking, and sentences that are not ranked at all."""

import numpy
import pytest
import torch
from conftest import uri
from numpy.testing import assert_allclose
from thinc.api import NumpyOps

from spacy_skills.asking import asking_sentences
from spacy_skills.calibration import N_ASKS, N_CONTEXT, N_RIGHT, Calibration
from spacy_skills.phrases import Segments, make_clause_phrases
from spacy_skills.shortlist import best_rows, best_skills, look_up
from spacy_skills.skills import (
    Query,
    literal_matrix,
    set_skills,
    skill_classifiers,
    skill_ranker,
)
from spacy_skills.spanner import SkillSpanner
from spacy_skills.vectors import normalise

TEXT = "Bake bread, bake pastry and drive.\nWe pay well.\nInstall cables; dress wounds."

STRENGTHS: list[dict[int, float]] = [{5: 1.0, 700: 1.0}, {}, {}]


def ranker_of(vectors, n_skills, seed=0, **settings):
    """A ranker whose encoder gives these vectors, over random skills."""
    from thinc.api import Model

    rng = numpy.random.default_rng(seed)
    encoder = Model("fixed", lambda model, segments, is_train: (vectors, None))
    classifiers = skill_classifiers(**settings)
    names = normalise(rng.normal(size=(n_skills, vectors.shape[1])).astype("float32"))
    set_skills(classifiers, names, rng.normal(size=n_skills).astype("float32"))
    return skill_ranker([encoder, classifiers])


@pytest.fixture
def query(make_nlp):
    nlp = make_nlp()
    doc = nlp.make_doc(TEXT)
    segments = Segments.from_docs([doc], make_clause_phrases())
    return Query(segments, literal_matrix(STRENGTHS, None, 3000))


@pytest.mark.parametrize("skill_rate", [0.0, 0.1])
@pytest.mark.parametrize("top_k", [1, 5, 4000])
def test_the_best_skills_are_those_of_the_full_ranking(query, top_k, skill_rate):
    rng = numpy.random.default_rng(1)
    vectors = rng.normal(size=(len(query.segments.spans), 64)).astype("float32")
    model = ranker_of(vectors, 3000, skill_rate=skill_rate)
    scores = model.predict(query).to_cpu(NumpyOps())
    found = best_skills(model, query.segments, STRENGTHS, top_k)
    assert len(found) == len(query.segments) == 3
    for i, ranked in enumerate(found):
        logits = numpy.asarray(scores.logits)[i]
        expected = look_up(scores, i, best_rows(logits, top_k))
        assert ranked.rows.tolist() == expected.rows.tolist()
        assert ranked.best.tolist() == expected.best.tolist()
        # Of two that are all but equal one may stand above the other.
        assert abs(ranked.ranks - expected.ranks).max() <= 1
        assert_allclose(ranked.logits, expected.logits, atol=1e-4)
        assert ranked.literal.tolist() == expected.literal.tolist()


def calibration(width, asks, reader):
    """P(asks) of each sentence from a number of its vector, P(right) is a half."""
    weights = numpy.zeros(width + N_ASKS + 1)
    weights[7 if reader == "spanner" else 0] = asks
    context = numpy.zeros(N_CONTEXT + 1)
    context[0] = 1.0
    return Calibration(weights, context, numpy.zeros(N_RIGHT + 1), [], reader)


@pytest.mark.parametrize("reader", ["encoder", "spanner"])
def test_sentences_that_ask_for_nothing_are_not_ranked(make_nlp, tiny_encoder, reader):
    nlp = make_nlp(threshold=0.25)
    ranker = nlp.get_pipe("esco_skills")
    torch.manual_seed(0)
    ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
    ranker.calibration = calibration(16, asks=20.0, reader=reader)
    doc = nlp.make_doc(TEXT)
    for pipe in ("ad_sentencizer", "esco_matcher"):
        doc = nlp.get_pipe(pipe)(doc)
    asking = list(
        asking_sentences([doc], ranker.model, ranker.spanner, ranker.calibration)
    )
    shares = [sentence.probability for sentence in asking]
    (candidates,) = ranker.predict([doc])
    given = {sentence.span.text for sentence in asking if sentence.probability >= 0.5}
    assert 0 < len(given) < len(asking), shares
    starts = {s.span.start: s.span.text for s in asking}
    found = {starts[max(a for a in starts if a <= c.start)] for c in candidates}
    assert found == given


def test_a_calibration_without_its_spanner_is_named(make_nlp):
    nlp = make_nlp(threshold=0.25)
    nlp.get_pipe("esco_skills").calibration = calibration(16, 20.0, reader="spanner")
    with pytest.raises(ValueError, match="S025.*spanner"):
        nlp(TEXT)


def test_predictions_agree_with_the_full_ranking(make_nlp):
    nlp = make_nlp(top_k=3)
    ranker = nlp.get_pipe("esco_skills")
    doc = nlp(TEXT)
    by_sentence = {}
    for sentence, logits in ranker.rank([doc]):
        best = best_rows(logits, 3)
        by_sentence[sentence.start] = [ranker.labels[row] for row in best]
    found = {}
    for span in doc.spans["esco_skills"]:
        start = max(s for s in by_sentence if s <= span.start)
        found.setdefault(start, []).append(span.kb_id_)
    assert found == by_sentence
    assert uri("bread") in found[0]
