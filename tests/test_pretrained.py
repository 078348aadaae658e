"""The ranker that comes with the package, as its users meet it."""

import pickle
from pathlib import Path

import pytest
import spacy

from spacy_skills.compact import SHIPPED, SUFFIX

AD = "You keep PostgreSQL fast.\nYou calm down worried families of patients."
MAX_BYTES = 32_000_000


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_skills")
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
def test_named_and_implied_skills_are_among_the_first(nlp, text, skill):
    assert any(skill in name for name in names(nlp(text)))


def test_sentences_and_evidence_without_other_pipes(nlp):
    doc = nlp(AD)
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
    texts = [AD, "", "Bake bread and serve guests."] * 2
    expected = [names(nlp(text)) for text in texts]
    docs = nlp.pipe(texts, n_process=2, batch_size=2)
    assert [names(doc) for doc in docs] == expected


def test_blank_component_is_blank():
    nlp = spacy.blank("en")
    ranker = nlp.add_pipe("esco_skills", config={"pretrained": None})
    assert ranker.labels == ()
    with pytest.raises(ValueError, match="S004"):
        nlp("Bake bread.")
