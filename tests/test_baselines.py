import numpy
import pytest
import spacy
from conftest import uri
from spacy.tokens import Span

from spacy_skills.baselines import LiteralMatch, NameBM25, NameCosine
from spacy_skills.benchmark import make_sentence_doc
from spacy_skills.encoder import TextEncoder


@pytest.fixture
def docs():
    nlp = spacy.blank("en")
    texts = ["You bake bread .", "SQL or Java ( computer programming )", "?"]
    return [make_sentence_doc(nlp, text) for text in texts]


def test_cosine_to_names(taxonomy, tiny_encoder, docs):
    encode = TextEncoder(tiny_encoder)
    scores = numpy.array(list(NameCosine(taxonomy, encode)(docs)))
    assert scores.shape == (len(docs), len(taxonomy))
    name = encode([taxonomy[uri("truck")].name])[0]
    expected = encode([docs[0].text])[0] @ name
    assert scores[0, taxonomy.index(uri("truck"))] == pytest.approx(expected, abs=1e-5)


def test_literal_match_scores_the_longest_mention(taxonomy, docs):
    doc = docs[1]
    doc.spans["esco_matches"] = [
        doc.char_span(0, 3, kb_id=uri("sql")),
        Span(doc, 2, 3, kb_id=uri("java")),
        Span(doc, 2, 7, kb_id=uri("java")),
        Span(doc, 0, 7, kb_id="http://example.org/unheard-of"),
    ]
    scores = list(LiteralMatch(taxonomy)(docs))
    assert scores[1][taxonomy.index(uri("java"))] == 5
    assert scores[1][taxonomy.index(uri("sql"))] == 1
    assert scores[1].sum() == 6
    assert not scores[0].any()


def test_bm25(taxonomy, docs):
    pytest.importorskip("bm25s")
    scores = numpy.array(list(NameBM25(taxonomy, spacy.blank("en"))(docs)))
    assert scores.shape == (len(docs), len(taxonomy))
    assert scores[0].argmax() == taxonomy.index(uri("bread"))
    assert scores[1].argmax() == taxonomy.index(uri("java"))
    assert not scores[2].any()
