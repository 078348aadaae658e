import pickle

import numpy
import pytest
import spacy
import srsly
from conftest import uri
from numpy.random import default_rng

from spacy_skills.ambiguity import ambiguous_names, collect_contexts
from spacy_skills.matcher import read_dropped_names
from spacy_skills.taxonomy import Skill, Taxonomy

NAMES = {
    "it": ("computer technology", ["IT", "it"]),
    "r": ("R", []),
    "go": ("Go", []),
    "c": ("C", []),
    "java": ("Java (computer programming)", []),
    "ldap": ("LDAP", []),
    "windows": ("windows", ["window systems"]),
    "staff": ("manage musical staff", []),
    "people": ("manage staff", ["lead people"]),
    "boss": ("be the boss", ["lead people", "manage staff"]),
    "lead": ("lead", []),
    "odd": ("???", ["42"]),
}


@pytest.fixture(scope="module")
def names():
    return Taxonomy(
        Skill(uri(key), name, "", tuple(others), "", "", ())
        for key, (name, others) in NAMES.items()
    )


@pytest.fixture
def make(names):
    def make(drop_names=None, **config):
        nlp = spacy.blank("en")
        matcher = nlp.add_pipe("esco_matcher", config=config)
        matcher.initialize(nlp=nlp, taxonomy=names, drop_names=drop_names)
        return nlp

    return make


def found(doc):
    return [(s.text, s.kb_id_.rsplit("/", 1)[1]) for s in doc.spans["esco_matches"]]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("IT experience", [("IT", "it")]),
        ("it is a job", []),
        ("Go, C and R", [("Go", "go"), ("C", "c"), ("R", "r")]),
        ("go home, see R&D", []),
        ("Vitamin C is good", []),
        ("You use C/C++", [("C", "c")]),
        ("java or Java", [("java", "java"), ("Java", "java")]),
        ("Java (computer programming)", [("Java (computer programming)", "java")]),
        ("ldap", [("ldap", "ldap")]),
        ("Windows and a window", [("Windows", "windows")]),
        ("you managed staff", [("managed staff", "people")]),
        ("Managing musical staffs", [("Managing musical staffs", "staff")]),
        ("leading people", [("leading people", "people"), ("leading people", "boss")]),
        ("what ??? 42", []),
        ("", []),
    ],
)
def test_case_inflection_and_overlap(make, text, expected):
    assert found(make()(text)) == expected


@pytest.mark.parametrize(
    "inflection,expected",
    [
        ("none", ["manage staff"]),
        ("lemma", ["manage staff", "managed staff"]),
        ("stem", ["manage staff", "managed staff", "management staff"]),
    ],
)
def test_inflection(make, inflection, expected):
    nlp = make(inflection=inflection)
    text = "manage staff, managed staff, management staff"
    assert [text for text, _ in found(nlp(text))] == expected
    again = pickle.loads(pickle.dumps(nlp))
    assert [text for text, _ in found(again(text))] == expected


def test_german_nouns_have_lemmas():
    nlp = spacy.blank("de")
    skill = Skill(uri("h"), "altes Haus", "", (), "", "", ())
    nlp.add_pipe("esco_matcher").initialize(nlp=nlp, taxonomy=Taxonomy([skill]))
    assert found(nlp("viele alte Häuser")) == [("alte Häuser", "h")]


@pytest.mark.parametrize("lang,inflection", [("bg", "lemma"), ("bg", "stem")])
def test_languages_without_inflection_are_refused(lang, inflection):
    nlp = spacy.blank(lang)
    with pytest.raises(ValueError, match="S204.*'bg'"):
        nlp.add_pipe("esco_matcher", config={"inflection": inflection})
    nlp.add_pipe("esco_matcher", config={"inflection": "none"})


def test_spans_carry_name_and_uri(make):
    doc = make()("Manage staff!")
    (span,) = doc.spans["esco_matches"]
    assert (span.label_, span.kb_id_) == ("manage staff", uri("people"))


def test_text_and_tokens_stay_as_they_are(make):
    doc = make()("We are managing staff")
    assert [t.norm_ for t in doc] == ["we", "are", "managing", "staff"]
    assert not any(t.lemma_ for t in doc)


def test_dropped_names_do_not_match(make, tmp_path):
    path = tmp_path / "dropped.jsonl"
    rows = [{"name": "lead", "uri": uri("lead")}, {"name": "IT", "uri": uri("it")}]
    srsly.write_jsonl(path, rows)
    nlp = make(drop_names=read_dropped_names(path))
    assert found(nlp("lead IT, lead people")) == [
        ("lead people", "people"),
        ("lead people", "boss"),
    ]


def test_damaged_list_of_dropped_names_is_named(tmp_path):
    path = tmp_path / "dropped.jsonl"
    path.write_text('{"name": "a", "uri": "b"}\n{"name": "a"}\n', encoding="utf8")
    with pytest.raises(ValueError, match=r"S202.*dropped.jsonl, line 2"):
        read_dropped_names(path)
    path.write_text("name,uri\n", encoding="utf8")
    with pytest.raises(ValueError, match=r"S202.*dropped.jsonl, line 1"):
        read_dropped_names(path)
    with pytest.raises(ValueError, match=r"S203.*missing.jsonl"):
        read_dropped_names(tmp_path / "missing.jsonl")
    assert read_dropped_names(None) == {}


@pytest.mark.parametrize("how", ["disk", "bytes", "pickle"])
def test_round_trips(make, tmp_path, how):
    nlp = make(drop_names={"lead": [uri("lead")]}, inflection="none")
    text = "lead, IT and managed staff, manage staff"
    expected = found(nlp(text))
    if how == "disk":
        nlp.to_disk(tmp_path / "p")
        again = spacy.load(tmp_path / "p")
    elif how == "bytes":
        again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        again = pickle.loads(pickle.dumps(nlp))
    assert found(again(text)) == expected == [("IT", "it"), ("manage staff", "people")]


def test_two_processes(make):
    nlp = make()
    docs = nlp.pipe(["manage staff", "", "IT"] * 4, n_process=2, batch_size=2)
    assert [found(doc) for doc in docs] == [
        [("manage staff", "people")],
        [],
        [("IT", "it")],
    ] * 4


def test_uninitialised_matcher_says_what_to_do():
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_matcher")
    with pytest.raises(ValueError, match=r"(?s)S201.*spacy_skills.Taxonomy.v1"):
        nlp("text")


def test_names_whose_contexts_are_far_are_dropped(make):
    nlp = make()
    matcher = nlp.get_pipe("esco_matcher")
    texts = [f"IT servers {i}" for i in range(20)]
    texts += [f"lead pipes {i}" for i in range(20)]
    texts += [f"Windows glass {i}" for i in range(5)]
    contexts = collect_contexts(nlp.pipe(texts), matcher, per_name=8)
    counts = {c.name: (c.count, len(c.texts)) for c in contexts}
    assert counts == {"it": (20, 8), "lead": (20, 8), "windows": (5, 5)}
    assert all(
        text.split()[0] in {"servers", "pipes", "glass"}
        for c in contexts
        for text in c.texts
    )
    rng = default_rng(0)

    def encode(batch):
        """Servers are what both skills are about; pipes are not."""
        near = ("computer", "servers", "lead")
        rows = [[1.0, 0.0] if text.startswith(near) else [0.0, 1.0] for text in batch]
        return numpy.array(rows) + rng.normal(0, 0.05, (len(rows), 2))

    drop, keep = ambiguous_names(contexts, matcher, encode)
    assert [(use.name, use.count, use.tested, use.far) for use in drop] == [
        ("lead", 20, 8, 1.0)
    ]
    assert [(use.name, use.far) for use in keep] == [("it", 0.0)]
    assert ambiguous_names([], matcher, encode) == ([], [])
