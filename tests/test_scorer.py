import pickle
from fractions import Fraction

import numpy
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from spacy_skills.scorer import (
    METRICS,
    bootstrap_intervals,
    make_ranking_scorer,
    ranking_scores,
    sentence_scores,
)

URIS = ["u:java", "u:sql", "u:weld", "u:cook"]


def brute_force(gold, scores):
    """The protocol written down again, from a full stable sort and in exact fractions."""
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    hits = [row in gold for row in order]
    precisions = [Fraction(sum(hits[:k]), min(k, len(gold))) for k in (1, 5, 10)]
    return [Fraction(1, hits.index(True) + 1), *precisions]


@st.composite
def sentences(draw, min_gold=0):
    # Few distinct values, so that ties are the rule.
    scores = draw(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
    rows = st.integers(0, len(scores) - 1)
    gold = draw(st.sets(rows, min_size=min_gold, max_size=15))
    return gold, numpy.array(scores, dtype="float32")


@given(sentences(min_gold=1))
def test_sentence_scores_match_brute_force(sentence):
    gold, scores = sentence
    assert sentence_scores(gold, scores) == pytest.approx(
        [float(x) for x in brute_force(gold, scores.tolist())]
    )


@given(st.lists(sentences(), max_size=10))
def test_ranking_scores_match_brute_force(rows):
    scored = [brute_force(gold, s.tolist()) for gold, s in rows if gold]
    result = ranking_scores(iter(rows))
    assert result["esco_scored"] == len(scored)
    assert result["esco_unscored"] == len(rows) - len(scored)
    for i, metric in enumerate(METRICS):
        expected = sum(x[i] for x in scored) / len(scored) if scored else None
        assert result[metric] == (None if expected is None else pytest.approx(expected))


def test_scores_computed_by_hand():
    scores = numpy.arange(20, 0, -1).astype("float32")  # row r has rank r + 1
    gold = {1, 3, 7, 12}  # ranks 2, 4, 8, 13
    assert sentence_scores(gold, scores) == pytest.approx((1 / 2, 0, 2 / 4, 3 / 4))
    assert sentence_scores({0}, scores) == (1, 1, 1, 1)
    assert sentence_scores({5}, scores) == pytest.approx((1 / 6, 0, 0, 1))
    # With seven gold skills, RP@5 divides by 5 and RP@10 by 7.
    assert sentence_scores(set(range(7)), scores) == (1, 1, 1, 1)
    assert sentence_scores(set(range(4, 11)), scores) == pytest.approx(
        (1 / 5, 0, 1 / 5, 6 / 7)
    )


def test_ties_go_to_the_lower_row():
    scores = numpy.zeros(100, dtype="float32")
    assert sentence_scores({0}, scores).rr == 1
    assert sentence_scores({9}, scores) == pytest.approx((1 / 10, 0, 0, 1))
    assert sentence_scores({10}, scores).rp10 == 0
    scores[50] = 1
    assert sentence_scores({0}, scores).rr == 1 / 2


def test_infinite_scores_rank():
    scores = numpy.array([-numpy.inf, 0, numpy.inf], dtype="float32")
    assert sentence_scores({0}, scores).rr == pytest.approx(1 / 3)
    assert sentence_scores({2}, scores).rr == 1


def test_nothing_to_score():
    assert ranking_scores([]) == {
        **dict.fromkeys(METRICS),
        "esco_scored": 0,
        "esco_unscored": 0,
    }
    result = ranking_scores([(set(), numpy.zeros(3))] * 2)
    assert result["esco_mrr"] is None and result["esco_unscored"] == 2


@pytest.mark.parametrize("gold", [set(), {3}, {-1}, {0, 7}])
def test_bad_gold_rows_raise(gold):
    with pytest.raises(ValueError, match="S405"):
        sentence_scores(gold, numpy.zeros(3))


def test_nan_raises_instead_of_ranking_first():
    with pytest.raises(ValueError, match="S406"):
        sentence_scores({0}, numpy.array([numpy.nan, 1.0]))


def test_rows_are_taken_one_at_a_time():
    buffer = numpy.zeros(5)

    def overwrite():
        for row in range(5):
            buffer[:] = 0
            buffer[row] = 1
            yield {row}, buffer

    assert ranking_scores(overwrite())["esco_mrr"] == 1


def test_bootstrap_intervals():
    values = numpy.random.default_rng(1).random((50, 4))
    low, high = bootstrap_intervals(values, 500)
    assert (low < values.mean(axis=0)).all() and (values.mean(axis=0) < high).all()
    # The normal approximation of the mean's interval is close at 50 sentences.
    half = 1.96 * values.std(axis=0) / 50**0.5
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert (bootstrap_intervals(values, 500) == [low, high]).all()
    assert (bootstrap_intervals(numpy.ones((3, 4)), 10) == 1).all()


@pytest.fixture
def nlp():
    return spacy.blank("en")


def make_example(nlp, texts, gold):
    """One doc of several sentences; gold: (first and last word of the span, URI)."""
    text = " ".join(texts)
    predicted = nlp.make_doc(text)
    starts, offset = set(), 0
    for sentence in texts:
        starts.add(offset)
        offset += len(sentence) + 1
    for token in predicted:
        token.is_sent_start = token.idx in starts
    # Other tokens than the predicted doc's: only characters can be compared.
    reference = Doc(nlp.vocab, words=text.split(" "))
    spans = []
    for phrase, uri in gold:
        start = text.index(phrase)
        span = reference.char_span(
            start, start + len(phrase), label="x", kb_id=uri, alignment_mode="expand"
        )
        assert isinstance(span, Span)
        spans.append(span)
    reference.spans["esco_skills"] = spans
    return Example(predicted, reference)


class Rank:
    """Ranks the sentences by a table, and remembers what it was given."""

    def __init__(self, table):
        self.table = table

    def __call__(self, docs):
        for doc in docs:
            for sentence in doc.sents:
                order = self.table[sentence.text]
                yield sentence, numpy.array([-order.index(u) for u in URIS])


def test_scorer_gives_each_sentence_its_own_gold(nlp):
    ads = ["You know Java, and SQL.", "You weld."]
    first = make_example(
        nlp, ads, [("Java,", URIS[0]), ("SQL", URIS[1]), ("weld", URIS[2])]
    )
    second = make_example(nlp, ["We are hiring!", "Cook"], [("Cook", URIS[3])])
    rank = Rank(
        {
            ads[0]: ["u:sql", "u:weld", "u:java", "u:cook"],
            ads[1]: ["u:java", "u:sql", "u:weld", "u:cook"],
            "We are hiring!": URIS,
            "Cook": ["u:cook", "u:java", "u:sql", "u:weld"],
        }
    )
    scores = make_ranking_scorer()([first, second], rank=rank, labels=URIS)
    assert scores == {
        "esco_mrr": pytest.approx((1 + 1 / 3 + 1) / 3),
        "esco_rp1": pytest.approx((1 + 0 + 1) / 3),
        "esco_rp5": 1,
        "esco_rp10": 1,
        "esco_scored": 3,
        "esco_unscored": 1,
        "esco_unknown": 0,
    }


def test_a_span_over_two_sentences_is_gold_for_both(nlp):
    example = make_example(nlp, ["Java.", "SQL."], [("Java. SQL.", URIS[0])])
    rank = Rank({"Java.": URIS, "SQL.": URIS[::-1]})
    scores = make_ranking_scorer()([example], rank=rank, labels=URIS)
    assert scores["esco_scored"] == 2
    assert scores["esco_mrr"] == pytest.approx((1 + 1 / 4) / 2)


def test_skills_the_ranker_does_not_have_are_counted(nlp):
    examples = [
        make_example(nlp, ["Java."], [("Java.", "u:unheard of")]),
        make_example(nlp, ["SQL."], [("SQL.", URIS[0]), ("SQL.", "u:unheard of")]),
    ]
    rank = Rank({"Java.": URIS, "SQL.": URIS})
    scores = make_ranking_scorer()(examples, rank=rank, labels=URIS)
    assert scores["esco_unknown"] == 2
    assert (scores["esco_scored"], scores["esco_unscored"]) == (1, 1)
    assert scores["esco_mrr"] == 1


def test_examples_without_gold_are_unscored(nlp):
    example = Example(nlp.make_doc("Hi."), nlp.make_doc("Hi."))
    example.predicted[0].is_sent_start = True
    example.predicted[1].is_sent_start = False
    scores = make_ranking_scorer()([example], rank=Rank({"Hi.": URIS}), labels=URIS)
    assert scores["esco_mrr"] is None and scores["esco_unscored"] == 1


def test_spans_key(nlp):
    example = make_example(nlp, ["Java."], [("Java.", URIS[0])])
    example.reference.spans["gold"] = list(example.reference.spans["esco_skills"])
    del example.reference.spans["esco_skills"]
    rank = Rank({"Java.": URIS})
    assert (
        make_ranking_scorer("gold")([example], rank=rank, labels=URIS)["esco_mrr"] == 1
    )
    assert make_ranking_scorer()([example], rank=rank, labels=URIS)["esco_mrr"] is None


def test_scorer_is_registered_and_survives_pickling(nlp):
    make = registry.scorers.get("spacy_skills.ranking_scorer.v1")
    scorer = pickle.loads(pickle.dumps(make(spans_key="esco_skills")))
    example = make_example(nlp, ["Java."], [("Java.", URIS[0])])
    scores = scorer([example], rank=Rank({"Java.": URIS}), labels=URIS, threshold=0.5)
    assert scores["esco_mrr"] == 1
