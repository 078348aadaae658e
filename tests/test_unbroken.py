"""Text without blanks: how it is cut, and that it does not take for ever."""

from time import process_time

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_skills.ads import Ad, raise_error
from spacy_skills.extraction import extract_skills
from spacy_skills.phrases import sentences
from spacy_skills.sentences import AdSentencizer, split_ad
from spacy_skills.unbroken import MAX_RUN, make_doc

NLP = spacy.blank("en")
SENTENCIZER = AdSentencizer()


def runs(unit, n):
    """n different long runs, so that nothing that is remembered helps."""
    return [f"{i}{unit * (MAX_RUN // len(unit))}" for i in range(n)]


@pytest.mark.parametrize("unit", ["😀", '"', "(("])
def test_time_is_linear_in_what_the_tokenizer_strips(unit):
    text = "".join(runs(unit, 20))
    start = process_time()
    doc = make_doc(NLP, text)
    # The tokenizer itself takes ten seconds and more.
    assert process_time() - start < 6
    assert doc.text == text


def test_ordinary_words_and_addresses_stay_whole():
    url = "https://example.org/" + "a" * (MAX_RUN - 20)
    for text in (f"See {url} now", "You bake bread.\n\n  Drive trucks", "", " "):
        doc, own = make_doc(NLP, text), NLP.make_doc(text)
        assert [t.text_with_ws for t in doc] == [t.text_with_ws for t in own]
    doc = make_doc(NLP, f"See {url}a  now\n")
    assert [len(token) for token in doc] == [3, MAX_RUN, 1, 1, 3, 1]


TEXTS = st.lists(
    st.sampled_from(["a", "bread", " ", "\n", "\u3000", "招聘", "😀" * 300, "x" * 499])
)


@given(TEXTS.map("".join))
def test_the_text_stays_as_it_is(text):
    assert make_doc(NLP, text).text == text


def test_the_sentences_are_those_of_the_text():
    text = f"Bake bread.\nDrive trucks.\n{'-' * 3 * MAX_RUN}\nLay cables.\nSell milk."
    doc, own = make_doc(NLP, text), NLP.make_doc(text)
    assert [t.is_sent_start for t in doc][:8] == [t.is_sent_start for t in own][:8]
    expected = ["Bake bread.", "Drive trucks.", "Lay cables.", "Sell milk."]
    assert [sentence.text for sentence in sentences(doc)] == expected
    bounds = [text[start:end] for start, end in split_ad(text)]
    found = [s.text.strip() for s in SENTENCIZER(doc).sents]
    assert found == bounds


@pytest.mark.parametrize("n_process", [1, 2])
def test_skills_around_a_run_are_found_where_they_stand(make_nlp, n_process):
    nlp = make_nlp(top_k=1)
    text = f"Bake bread.\n{''.join(runs('😀', 9))}\nDrive trucks."
    ads = [Ad(text, "a"), Ad("SQL", "b")]
    first, _ = extract_skills(nlp, ads, on_error=raise_error, n_process=n_process)
    assert first["text"] == text
    found = {
        skill["name"]: [text[e["start"] : e["end"]] for e in skill["evidence"]]
        for skill in first["skills"]
    }
    assert "Bake bread" in found["bake bread"]
    assert "Drive trucks" in found["drive trucks"]


def test_a_text_that_the_tokenizer_refuses_takes_no_other_with_it(make_nlp):
    nlp = make_nlp(top_k=1)
    tokenizer = nlp.tokenizer

    def refuse(text):
        if "walls" in text:
            raise RuntimeError("no walls")
        return tokenizer(text)

    nlp.tokenizer = refuse
    ads = [Ad(text, text) for text in ("SQL", "Plaster walls", "Bake bread")]
    errors = []
    records = extract_skills(nlp, ads, on_error=errors.append)
    assert [record["text"] for record in records] == ["SQL", "Bake bread"]
    (error,) = errors
    assert "S907" in str(error) and "no walls" in str(error)
