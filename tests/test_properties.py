"""What holds for any text, whatever it is and whatever it is batched with."""

import json

import numpy
import pytest
import spacy
import torch
from conftest import SKILLS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacy_skills.calibration import N_ASKS, N_CONTEXT, N_RIGHT, Calibration
from spacy_skills.sentences import read_sentences
from spacy_skills.spanner import SkillSpanner
from spacy_skills.vectors import Recent

TOLERANCE = 1e-3
# What texts are made of besides any characters: names of skills, bounds of sentences, and what
# tokenizers and encodings stumble over.
PIECES = [
    *(name for name, _, _ in SKILLS.values()),
    *" .,;:!?•|&<>\n\r\t\0\x1c\x85\x7f",
    "\r\n",
    "\u2028",
    "<li>",
    "&bull;",
    "e.g. ",
    "1) ",
    # Right to left, with an override that turns what follows.
    "\u202eخبز الخبز",
    "אפיית לחם ",
    # Combining characters without and with a base, emoji of several, one half of a flag.
    "\u0301\u0301",
    "cafe\u0301 ",
    "👩🏽‍🍳",
    "🇩",
    "\ufeff",
    "\u200b",
    "ﷺ",
    "İ",
    "ß",
]
# Surrogates are no text: Python can't encode them, and spaCy takes none.
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
texts = st.one_of(
    any_text,
    st.text(" \n\t\r\u00a0\u3000", max_size=10),
    st.text(st.characters(categories=("Cc", "Cf", "Mn", "Co")), max_size=20),
    st.lists(st.sampled_from(PIECES) | any_text, max_size=8).map("".join),
)
checked = settings(max_examples=40, deadline=None, derandomize=True)
LONG = ["a" * 100_000, "é" * 100_000 + "bake bread", "-" * 100_000, "🎉" * 2000]


@pytest.fixture(scope="module")
def nlp(make_nlp, tiny_encoder):
    """With all optional parts, so that all of the code is met."""
    nlp = make_nlp(top_k=3)
    ranker = nlp.get_pipe("esco_skills")
    torch.manual_seed(1)
    ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
    random = numpy.random.default_rng(1)
    sizes = (16 + N_ASKS + 1, N_CONTEXT + 1, N_RIGHT + 1)
    ranker.calibration = Calibration(*(random.normal(size=n) for n in sizes), [])
    return nlp


@pytest.fixture(scope="module")
def sentencizer():
    nlp = spacy.blank("en")
    nlp.add_pipe("ad_sentencizer")
    return nlp


def alone(nlp, text):
    """As if it were the first text that is ever annotated: nothing is remembered."""
    Recent.forget_all()
    doc = nlp(text)
    Recent.forget_all()
    return doc


def check(doc, text):
    """What is written on the doc lies within it, and agrees."""
    assert doc.text == text
    group = doc.spans["esco_skills"]
    scores, kinds = group.attrs["scores"], group.attrs["evidence"]
    assert len(group) == len(scores) == len(kinds)
    assert ((scores >= 0) & (scores <= 1)).all()
    sentences = list(doc.sents)
    starts = [s.start for s in sentences]
    places = numpy.searchsorted(starts, [s.start for s in group], side="right") - 1
    for span, place in zip(group, places):
        assert sentences[place].start <= span.start < span.end <= sentences[place].end
    assert (numpy.diff(places) >= 0).all()
    for place in set(places):
        of_sentence = scores[places == place]
        assert len(of_sentence) <= 3 and (numpy.diff(of_sentence) <= 0).all()
    check_records(doc, group, scores)


def check_records(doc, group, scores):
    records = doc._.skills
    json.dumps(records)
    values = [record["score"] for record in records]
    assert values == sorted(values, reverse=True)
    uris = {record["uri"] for record in records}
    instead = {uri for record in records for uri in record["instead_of"]}
    assert len(uris) == len(records) and not uris & instead
    assert uris | instead == {span.kb_id_ for span in group}
    found = {
        (s.kb_id_, s.start_char, s.end_char, s.text, round(float(p), 3))
        for s, p in zip(group, scores)
        if s.kb_id_ in uris
    }
    told = {
        (r["uri"], e["start"], e["end"], e["text"], round(e["score"], 3))
        for r in records
        for e in r["evidence"]
    }
    assert {t[:4] for t in told} == {f[:4] for f in found}
    for record in records:
        assert record["score"] == max(e["score"] for e in record["evidence"])
        for evidence in record["evidence"]:
            assert doc.text[evidence["start"] : evidence["end"]] == evidence["text"]


def agree(one, other):
    """The same skills in the same order, but where scores are as good as equal."""
    (first, second) = (
        [
            (span.sent.start, span.kb_id_, float(score))
            for span, score in zip(group, group.attrs["scores"])
        ]
        for group in (one.spans["esco_skills"], other.spans["esco_skills"])
    )
    assert [start for start, _, _ in first] == [start for start, _, _ in second]
    for (start, uri, score), (_, uri_2, score_2) in zip(first, second):
        assert abs(score - score_2) < TOLERANCE
        if uri != uri_2:
            (again,) = (s for p, u, s in second if (p, u) == (start, uri))
            assert abs(again - score) < TOLERANCE


@checked
@given(st.lists(texts, max_size=5))
@example(["", "Bake bread", ""])
@example(["\0", "\n\n", "\u202e", "\u0301"])
def test_any_text_is_annotated(nlp, batch):
    docs = list(nlp.pipe(batch))
    for doc, text in zip(docs, batch, strict=True):
        check(doc, text)


@checked
@given(texts, st.lists(texts, max_size=5), st.integers(0, 5), st.integers(1, 4))
@example("Bake bread", ["", "", "Drive trucks. " * 100], 0, 2)
def test_neighbours_and_batches_do_not_matter(nlp, text, others, place, batch_size):
    expected = alone(nlp, text)
    batch = [*others[:place], text, *others[place:]]
    among = list(nlp.pipe(batch, batch_size=batch_size))[min(place, len(others))]
    check(among, text)
    agree(expected, among)


@checked
@given(texts)
def test_twice_is_once(nlp, text):
    doc = nlp(text)
    spans = [str(doc.spans[key].to_bytes()) for key in doc.spans]
    starts, records = doc.to_array("SENT_START").tolist(), doc._.skills
    doc = nlp(doc)
    assert [str(doc.spans[key].to_bytes()) for key in doc.spans] == spans
    assert doc.to_array("SENT_START").tolist() == starts and doc._.skills == records


@pytest.mark.parametrize("text", LONG, ids=lambda text: f"{text[0]!r}*{len(text)}")
def test_very_long_tokens(nlp, text):
    batch = ["Bake bread", text, ""]
    Recent.forget_all()
    docs = list(nlp.pipe(batch))
    for doc, expected in zip(docs, batch, strict=True):
        check(doc, expected)
        agree(doc, alone(nlp, expected))


def test_processes_do_not_matter(nlp):
    batch = [*PIECES, "", "Bake bread. Drive trucks!\n• plaster walls", *LONG[:1], ""]
    Recent.forget_all()
    forked = list(nlp.pipe(batch, n_process=2, batch_size=5))
    for doc, text in zip(forked, batch, strict=True):
        check(doc, text)
        agree(doc, alone(nlp, text))


@checked
@given(texts)
def test_sentence_bounds_alone(sentencizer, text):
    doc = sentencizer(text)
    assert doc.text == text and doc.has_annotation("SENT_START")
    sentences = list(doc.sents)
    assert [token.i for sentence in sentences for token in sentence] == list(
        range(len(doc))
    )
    starts = doc.to_array("SENT_START").tolist()
    assert sentencizer(doc).to_array("SENT_START").tolist() == starts


@checked
@given(st.lists(texts, max_size=4))
def test_matches_alone(nlp, batch):
    with nlp.select_pipes(enable="esco_matcher"):
        docs = list(nlp.pipe(batch))
        again = [nlp(text) for text in batch]
    for doc, other, text in zip(docs, again, batch, strict=True):
        assert doc.text == text
        found, expected = (
            [(s.start, s.end, s.label_, s.kb_id_) for s in d.spans["esco_matches"]]
            for d in (doc, other)
        )
        assert found == expected == sorted(found, key=lambda match: match[:2])
        for first, second in zip(found, found[1:]):
            # The same words may name two skills; others do not overlap.
            assert first[:2] == second[:2] or first[1] <= second[0]


@checked
@given(st.lists(st.text(st.characters(), max_size=30), min_size=1, max_size=4))
@example(["\ud800 bake bread", "\udfff\ud83d"])
def test_halves_of_emoji_are_left_out_by_the_reader(nlp, tmp_path_factory, ads):
    path = tmp_path_factory.getbasetemp() / "surrogates.jsonl"
    rows = [json.dumps({"text": f"Bake bread. {text}"}) + "\n" for text in ads]
    path.write_text("".join(rows), encoding="ascii")
    sentences = list(read_sentences(path))
    assert len(sentences) >= len(ads)
    for doc, text in zip(nlp.pipe(sentences), sentences, strict=True):
        check(doc, text)
