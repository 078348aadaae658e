"""The ranker that comes with the package, as its users meet it."""

import pickle
from pathlib import Path

import pytest
import spacy

from spacy_skills.compact import SHIPPED, SUFFIX
from spacy_skills.explanation import explain

AD = "You keep PostgreSQL fast.\nYou tidy up conflicts between two of your people."
BOILERPLATE = """What you bring:
We are a family-run bakery with twelve shops around the lake.
Your uniform is washed for you.
30 days of holiday and free first aid training
All qualified people are welcome, whoever they are.
Send your application to Ms Example by 30 June."""
MAX_BYTES = 32_000_000


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_skills")
    return nlp


@pytest.fixture(scope="module")
def every():
    """The best five of each sentence, however improbable."""
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_skills", config={"threshold": 0.0})
    return nlp


def names(doc):
    return [span.label_ for span in doc.spans["esco_skills"]]


def test_it_is_small_and_says_what_it_is():
    ranker = SHIPPED / f"esco-1.1.1-en{SUFFIX}"
    assert ranker.stat().st_size < MAX_BYTES
    card = (SHIPPED / "README.md").read_text(encoding="utf8")
    for word in ("ESCO", "SkillSpan", "MIT", "Apache", "## Results", "## Limits"):
        assert word in card


def test_all_skills_of_esco_and_no_text_that_may_not_be_passed_on(nlp):
    taxonomy = nlp.get_pipe("esco_skills").taxonomy
    assert len(taxonomy) == 13_896
    assert not any(skill.description for skill in taxonomy)
    state = nlp.to_bytes()
    assert str(Path(__file__).parents[1]).encode() not in state


@pytest.mark.parametrize(
    "text,skill",
    [
        ("Experience with PostgreSQL", "PostgreSQL"),
        ("You are a real team player.", "work in teams"),
        ("Comfortable talking to people at all levels", "communication"),
        ("You tidy up conflicts between two of your people.", "conflict management"),
        ("Bandage a cut", "wound"),
    ],
)
def test_named_and_implied_skills_are_among_the_first(every, text, skill):
    assert any(skill in name for name in names(every(text)))


def test_sentences_that_ask_for_nothing_get_nothing(nlp):
    assert names(nlp(BOILERPLATE)) == []
    assert names(nlp(f"{BOILERPLATE}\nYou keep PostgreSQL fast.")) == ["PostgreSQL"]


@pytest.mark.parametrize(
    "text",
    ["Fluent German, good English", "You keep the books and prepare the accounts"],
)
def test_capitals_and_missing_stops_do_no_harm(nlp, text):
    assert names(nlp(text)) == names(nlp(text.upper())) != []


def test_a_wanted_precision_raises_the_threshold(nlp):
    ranker = nlp.get_pipe("esco_skills")
    thresholds = [ranker.calibration.threshold(p) for p in (0.6, 0.7, 0.8, 0.9)]
    assert thresholds == sorted(thresholds)
    strict = spacy.blank("en")
    strict.add_pipe("esco_skills", config={"precision": 0.8})
    assert strict.get_pipe("esco_skills").threshold == thresholds[2]
    assert set(names(strict(AD))) <= set(names(nlp(AD)))


def test_without_its_words_the_score_of_a_skill_falls(every):
    reasons = []
    ranker = every.get_pipe("esco_skills")
    for file in sorted((Path(__file__).parents[1] / "assets" / "ads").glob("*.txt")):
        text = file.read_text(encoding="utf8")
        for explanation in explain(every, ranker, text, top_k=1):
            reasons += explanation.reasons
    implied = [r for r in reasons if r.evidence == "words" and r.without is not None]
    named = [r for r in reasons if r.evidence == "name" and r.without is not None]
    assert len(implied) > 15 and len(named) > 5
    assert all(reason.without < reason.logit for reason in implied + named)


def test_sentences_and_evidence_without_other_pipes(every):
    doc = every(AD)
    spans = doc.spans["esco_skills"]
    assert len(spans) == 10
    assert spans[0].label_ == "PostgreSQL" == spans[0].text
    assert spans[5].start > doc.text[: AD.index("\n")].count(" ")


def test_nothing_in_nothing(nlp):
    assert names(nlp("")) == names(nlp(" \n ")) == []


def test_copies_find_the_same(nlp, tmp_path):
    expected = names(nlp(AD))
    nlp.to_disk(tmp_path)
    assert names(spacy.load(tmp_path)(AD)) == expected
    assert names(pickle.loads(pickle.dumps(nlp))(AD)) == expected


def test_two_processes_find_the_same(nlp):
    texts = [AD, "", "You dress wounds."] * 2
    expected = [names(nlp(text)) for text in texts]
    docs = nlp.pipe(texts, n_process=2, batch_size=2)
    assert [names(doc) for doc in docs] == expected


def test_blank_component_is_blank():
    nlp = spacy.blank("en")
    ranker = nlp.add_pipe("esco_skills", config={"pretrained": None})
    assert ranker.labels == ()
    with pytest.raises(ValueError, match="S004"):
        nlp("Bake bread.")
