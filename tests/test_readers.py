import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.util import registry

from spacy_skills.readers import DistantCorpus

SKILLS = ["weld pipes", "lead a team", "Python"]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def make_doc(nlp, text, skills=SKILLS):
    doc = nlp.make_doc(text)
    spans = []
    for name in skills:
        start = text.find(name)
        if start >= 0:
            spans.append(
                doc.char_span(start, start + len(name), label=name, kb_id=f"uri:{name}")
            )
    doc.spans["esco_matches"] = spans
    return doc


def save(path, docs):
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(attrs=["ORTH"], docs=docs).to_disk(path)


@pytest.fixture
def corpus_dir(nlp, tmp_path):
    for shard in range(3):
        docs = [
            make_doc(nlp, f"In town {shard}{n} we weld pipes and lead a team daily.")
            for n in range(20)
        ]
        save(tmp_path / "train" / f"{shard}.spacy", docs)
    return tmp_path / "train"


def texts(examples):
    return [example.reference.text for example in examples]


def test_example_carries_the_skills_on_its_reference(nlp, tmp_path):
    doc = make_doc(nlp, "You lead a team, then lead a team in Python.")
    twice = doc[6:9]
    doc.spans["esco_matches"].append(
        Span(doc, twice.start, twice.end, label="lead a team", kb_id="uri:lead a team")
    )
    save(tmp_path / "one.spacy", [doc])
    (example,) = DistantCorpus(tmp_path / "one.spacy")(nlp)
    assert example.predicted.text == example.reference.text == doc.text
    assert not example.predicted.spans
    assert [sent.text for sent in example.predicted.sents] == [doc.text]
    spans = example.reference.spans["esco_skills"]
    assert {(s.label_, s.kb_id_, s.text) for s in spans} == {
        ("lead a team", "uri:lead a team", doc.text),
        ("Python", "uri:Python", doc.text),
    }
    assert len(spans) == 2


def test_order_is_shuffled_and_repeatable(nlp, corpus_dir):
    corpus = DistantCorpus(corpus_dir, seed=1)
    first = texts(corpus(nlp))
    assert len(first) == 60 and first == texts(corpus(nlp))
    assert first != sorted(first)
    other = texts(DistantCorpus(corpus_dir, seed=2)(nlp))
    assert other != first and sorted(other) == sorted(first)


def test_all_mentions_are_removed(nlp, corpus_dir):
    for example in DistantCorpus(corpus_dir, remove_mention=1.0)(nlp):
        words = [token.text for token in example.reference]
        assert words[:2] == ["In", "town"]
        assert words[3:] == ["we", "and", "daily", "."]
        assert words == [token.text for token in example.predicted]
        assert len(example.reference.spans["esco_skills"]) == 2
        assert all(len(s) == 7 for s in example.reference.spans["esco_skills"])


def test_removal_depends_on_seed_and_sentence_only(nlp, corpus_dir):
    def removed(path, seed):
        examples = DistantCorpus(path, remove_mention=0.5, seed=seed)(nlp)
        return {text for text in texts(examples) if "weld" not in text}

    everywhere = removed(corpus_dir, 0)
    assert 15 < len(everywhere) < 45
    assert removed(corpus_dir / "1.spacy", 0) < everywhere
    assert removed(corpus_dir, 3) != everywhere


@pytest.mark.parametrize("text", ["Python", "Uses Python daily, 24 / 7!"])
def test_too_little_left_without_the_mention(nlp, tmp_path, text):
    save(tmp_path / "short.spacy", [make_doc(nlp, text)])
    assert texts(DistantCorpus(tmp_path, remove_mention=1.0)(nlp)) == []
    assert texts(DistantCorpus(tmp_path, remove_mention=0.999)(nlp)) == [text]


def test_cap_per_skill_keeps_rare_skills(nlp, tmp_path):
    docs = [make_doc(nlp, f"We weld pipes {n}") for n in range(30)]
    docs += [make_doc(nlp, f"We weld pipes in Python {n}") for n in range(3)]
    save(tmp_path / "0.spacy", docs)
    kept = texts(DistantCorpus(tmp_path, max_per_skill=4)(nlp))
    assert sum("Python" in text for text in kept) == 3
    assert 4 <= len(kept) <= 7


def test_limit(nlp, corpus_dir):
    assert len(texts(DistantCorpus(corpus_dir, limit=7)(nlp))) == 7


def test_reader_is_registered_and_builds_from_a_config(nlp, corpus_dir):
    config = {
        "corpus": {
            "@readers": "spacy_skills.DistantCorpus.v1",
            "path": str(corpus_dir),
            "remove_mention": 0.5,
            "limit": 5,
        }
    }
    corpus = registry.resolve(config)["corpus"]
    assert len(list(corpus(nlp))) == 5


def test_bad_corpora(nlp, tmp_path, corpus_dir):
    with pytest.raises(ValueError, match="has no path"):
        list(DistantCorpus(None)(nlp))
    with pytest.raises(ValueError, match="Can't find the corpus"):
        list(DistantCorpus(tmp_path / "nowhere")(nlp))
    with pytest.raises(ValueError, match="Can't find the corpus"):
        list(DistantCorpus(tmp_path)(nlp))
    with pytest.raises(ValueError, match="remove_mention has to be"):
        DistantCorpus(corpus_dir, remove_mention=1.5)
    shard = corpus_dir / "2.spacy"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ValueError, match="2.spacy' is damaged"):
        list(DistantCorpus(corpus_dir)(nlp))
    save(shard, [Doc(nlp.vocab, words=["No", "match"])])
    with pytest.raises(ValueError, match="2.spacy' has a sentence without matches"):
        list(DistantCorpus(corpus_dir)(nlp))
