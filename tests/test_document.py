"""What a whole ad is given: ``doc._.skills`` and the spans it comes from."""

import json
import pickle

import pytest
import spacy
from conftest import uri
from spacy.tokens import Doc, DocBin, Span

from spacy_skills.annotations import skill_records
from spacy_skills.decision import Candidate
from spacy_skills.evidence import LiteralMatches
from spacy_skills.taxonomy import Group, Skill, Taxonomy

AD = "You bake bread.\nBake bread and pastry; install electrical wiring.\n• Java"


def tree() -> Taxonomy:
    """top > middle > care; "communicate" under care, "communicate with patients" under it."""
    groups = [
        Group("g:top", "top", "S", "", ()),
        Group("g:middle", "middle", "S1", "", ("g:top",)),
        Group("g:care", "care", "S1.1", "", ("g:middle",)),
        Group("g:other", "other", "K", "", ()),
    ]

    def skill(key, kind, *broader):
        return Skill(key, key.replace("-", " "), kind, (), "", "transversal", broader)

    return Taxonomy(
        [
            skill("communicate", "skill/competence", "g:care"),
            skill("communicate-with-patients", "skill/competence", "communicate"),
            skill("patients", "knowledge", "g:care", "g:other"),
        ],
        groups,
    )


def test_the_longest_name_is_the_evidence():
    doc = spacy.blank("en")("Java is bake good and fresh bread now")
    doc.spans["names"] = [
        Span(doc, start, end, label="x", kb_id="patients")
        for start, end in ((0, 3), (2, 7), (3, 7))
    ]
    (match,) = LiteralMatches("names", tree()).of(doc[:]).values()
    assert (match.start, match.end, match.strength) == (2, 7, 1.0)


TEXT = "communicate with patients and their communicate partners"


def records(*candidates, level=2):
    nlp = spacy.blank("en")
    found = [Candidate(*candidate, "words") for candidate in candidates]
    return skill_records(nlp(TEXT), found, tree(), level)


def test_each_skill_once_with_all_its_evidence():
    first, second = records((0, 1, 0, 0.6), (5, 6, 0, 0.8), (2, 3, 2, 0.7))
    assert first == {
        "uri": "communicate",
        "name": "communicate",
        "score": 0.8,
        "type": "skill",
        "reuse_level": "transversal",
        "groups": [
            {"level": 0, "uri": "g:top", "name": "top", "code": "S"},
            {"level": 1, "uri": "g:middle", "name": "middle", "code": "S1"},
            {"level": 2, "uri": "g:care", "name": "care", "code": "S1.1"},
        ],
        "evidence": [
            {
                "start": 0,
                "end": 11,
                "text": "communicate",
                "score": 0.6,
                "evidence": "words",
            },
            {
                "start": 36,
                "end": 47,
                "text": "communicate",
                "score": 0.8,
                "evidence": "words",
            },
        ],
        "instead_of": [],
    }
    assert second["type"] == "knowledge"


@pytest.mark.parametrize(
    "level,expected",
    [
        (0, ["other", "top"]),
        (1, ["other", "top", "middle"]),
        (9, ["other", "top", "middle", "care"]),
    ],
)
def test_groups_down_to_a_level(level, expected):
    (record,) = records((2, 3, 2, 0.7), level=level)
    assert [group["name"] for group in record["groups"]] == expected


@pytest.mark.parametrize("broad,narrow", [(0.9, 0.8), (0.8, 0.9)])
def test_of_a_skill_and_its_broader_one_the_better_is_kept(broad, narrow):
    (record,) = records((0, 1, 0, broad), (0, 3, 1, narrow))
    kept, left = ("communicate", "communicate-with-patients")[
        :: 1 if broad > narrow else -1
    ]
    assert record["uri"] == kept and record["instead_of"] == [left]


def test_a_broader_skill_with_words_of_its_own_stays():
    found = records((0, 1, 0, 0.6), (5, 6, 0, 0.5), (0, 3, 1, 0.9))
    assert [record["uri"] for record in found] == [
        "communicate-with-patients",
        "communicate",
    ]


def test_skills_that_are_not_above_each_other_stay():
    assert len(records((0, 3, 1, 0.9), (0, 3, 2, 0.8))) == 2


@pytest.fixture
def nlp(make_nlp):
    return make_nlp(top_k=2)


def test_spans_say_what_kind_of_evidence_they_are(nlp):
    doc = nlp(AD)
    group = doc.spans["esco_skills"]
    kinds = set(zip([span.text for span in group], group.attrs["evidence"]))
    assert kinds >= {("install electrical wiring", "name"), ("bake bread", "name")}
    assert len(group.attrs["evidence"]) == len(group) == len(group.attrs["scores"])
    silent = nlp("zz.")
    group = silent.spans["esco_skills"]
    assert set(group.attrs["evidence"]) <= {"words", "sentence"}


def test_the_offsets_are_those_of_the_text(nlp):
    doc = nlp(AD)
    assert {skill["uri"] for skill in doc._.skills} >= {uri("bread"), uri("wires")}
    for skill in doc._.skills:
        assert skill["score"] == max(e["score"] for e in skill["evidence"])
        for evidence in skill["evidence"]:
            assert AD[evidence["start"] : evidence["end"]] == evidence["text"]
    scores = [skill["score"] for skill in doc._.skills]
    assert scores == sorted(scores, reverse=True)


def test_it_is_plain_data_everywhere(nlp):
    expected = nlp(AD)._.skills
    assert json.loads(json.dumps(expected)) == expected
    assert nlp(AD).to_json(underscore=["skills"])["_"]["skills"] == expected
    stored = DocBin(docs=[nlp(AD)], store_user_data=True).to_bytes()
    (doc,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    # Tuples for lists, as DocBin keeps all user data.
    assert json.loads(json.dumps(doc._.skills)) == expected
    assert Doc(nlp.vocab).from_bytes(nlp(AD).to_bytes())._.skills == expected
    assert pickle.loads(pickle.dumps(nlp(AD)))._.skills == expected


def test_every_way_through_the_pipeline_gives_the_same(nlp):
    texts = [AD, "", "Plaster walls."] * 3
    expected = [nlp(text)._.skills for text in texts]
    assert [doc._.skills for doc in nlp.pipe(texts, batch_size=2)] == expected
    pairs = nlp.pipe([(t, i) for i, t in enumerate(texts)], as_tuples=True, n_process=2)
    assert [(doc._.skills, i) for doc, i in pairs] == [
        (skills, i) for i, skills in enumerate(expected)
    ]
    assert nlp.make_doc(AD)._.skills == []


def test_evidence_is_no_bullet_and_no_stop(nlp):
    doc = nlp("• plaster the walls!\n* prepare dough,")
    for span in doc.spans["esco_skills"]:
        assert span[0].text[0].isalnum() and span[-1].text[-1].isalnum()


def test_a_long_ad_takes_linear_time(nlp):
    import time

    def seconds(n):
        text = "You bake bread at night.\n" * n
        started = time.perf_counter()
        nlp(text)
        return time.perf_counter() - started

    seconds(50)
    # Sixteen times as long, with room for noise; squared it would be 256.
    assert seconds(16_000) < 50 * seconds(1000)
