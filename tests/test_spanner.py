import numpy
import pytest
import spacy
import srsly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.span_training import Settings, read_marked, train_spanner
from spacy_skills.spanner import SkillSpanner, decode, read_spanner

O, B, I = (1, 0, 0), (0, 1, 0), (0, 0, 1)  # noqa: E741


@pytest.mark.parametrize(
    "skill,knowledge,expected",
    [
        ([O, O, O], [O, O, O], []),
        ([B, I, O], [O, O, O], [(0, 2)]),
        ([B, B, I], [O, O, O], [(0, 1), (1, 3)]),
        ([I, I, O], [O, O, O], [(0, 2)]),
        ([B, I, I], [O, B, O], [(0, 3), (1, 2)]),
        ([O, B, O], [O, B, O], [(1, 2)]),
        ([(0.4, 0.3, 0.3), (0.6, 0.4, 0), O], [O, O, O], [(0, 1)]),
    ],
)
def test_decode(skill, knowledge, expected):
    scores = numpy.array([skill, knowledge], dtype="float32").swapaxes(0, 1)
    assert decode(scores, [0, 1, 2]) == expected


def test_tokens_without_wordpieces_are_passed_over():
    scores = numpy.array([[B, I], [O, O]], dtype="float32").swapaxes(0, 1)
    assert decode(scores, [0, 5]) == [(0, 6)]


MARKED = [
    {
        "tokens": "you bake bread today".split(),
        "tags_skill": ["O", "B", "I", "O"],
        "tags_knowledge": ["O"] * 4,
    },
    {
        "tokens": "java is a plus".split(),
        "tags_skill": ["O"] * 4,
        "tags_knowledge": ["B", "O", "O", "O"],
    },
]


@pytest.fixture
def marked(tmp_path):
    path = tmp_path / "marked.jsonl"
    srsly.write_jsonl(path, MARKED)
    return path


@pytest.fixture(scope="module")
def trained(tiny_encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("marked") / "marked.jsonl"
    srsly.write_jsonl(path, MARKED)
    spanner = SkillSpanner.from_base(tiny_encoder, 2)
    embeddings = spanner.transformer.embeddings.state_dict()
    before = {name: value.clone() for name, value in embeddings.items()}
    settings = Settings(epochs=150, batch_size=2, learn_rate=0.01, head_rate=0.01)
    losses = train_spanner(spanner, read_marked(path), settings)
    after = spanner.transformer.embeddings.state_dict()
    assert all((after[name] == value).all() for name, value in before.items())
    assert losses[-1] < 0.1 * losses[0]
    return spanner


def spans(spanner, *texts):
    nlp = spacy.blank("en")
    found = spanner([nlp(text)[:] for text in texts])
    return [[span.text for span in marks.spans] for marks in found]


def test_learns_what_is_marked(trained):
    found = spans(trained, "java is a plus", "you bake bread today")
    assert found == [["java"], ["bake bread"]]


def test_what_is_saved_finds_the_same(trained, tmp_path):
    trained.to_disk(tmp_path / "spanner")
    loaded = read_spanner(tmp_path / "spanner")
    texts = ["you bake bread today", "java is a plus", "plaster walls"]
    assert spans(loaded, *texts) == spans(trained, *texts)
    assert read_spanner(None) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_text_has_spans_within_it(trained, texts):
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in texts]
    sentences = [doc[:] for doc in docs if len(doc)]
    for sentence, marks in zip(sentences, trained(sentences)):
        bounds = [(s.start, s.end) for s in marks.spans]
        assert all(sentence.start <= a < b <= sentence.end for a, b in bounds)
        assert len(marks.asked) == len(sentence)
        assert ((marks.asked >= 0) & (marks.asked <= 1)).all()
        assert marks.vector.shape == (trained.width,)


def test_what_is_marked_is_asked_for(trained):
    (marks,) = trained([spacy.blank("en")("you bake bread today")[:]])
    asked = marks.asked
    assert asked[1:3].min() > 0.5 > asked[[0, 3]].max()


def test_neighbours_do_not_matter(trained):
    nlp = spacy.blank("en")
    doc = nlp("plaster walls . you bake bread today")
    long = "and so on " * 30
    (alone,) = trained([doc[3:7]])
    *_, among = trained([doc[0:3], nlp(long)[:], doc[3:7]])
    bounds = [[(s.start, s.end) for s in marks.spans] for marks in (alone, among)]
    assert bounds[0] == bounds[1]
    numpy.testing.assert_allclose(among.asked, alone.asked, atol=1e-5)
    numpy.testing.assert_allclose(among.vector, alone.vector, atol=1e-5)


def test_a_sentence_is_the_mean_of_its_wordpieces(trained):
    nlp = spacy.blank("en")
    docs = [nlp("you bake bread"), nlp("Java , SQL and driving lorries")]
    for doc, marks in zip(docs, trained([doc[:] for doc in docs])):
        pieces = trained.tokenizer(doc.text, return_tensors="pt")
        hidden = trained.transformer(**pieces).last_hidden_state.detach()
        expected = hidden[0].mean(dim=0).numpy()
        # The spanner's products are of eight bits where the CPU has them.
        off = numpy.linalg.norm(marks.vector - expected)
        assert off < 0.05 * numpy.linalg.norm(expected)


def test_a_changed_head_is_noticed(trained):
    changed = SkillSpanner.from_bytes(trained.to_bytes())
    sentence = spacy.blank("en")("you bake bread today")[:]
    assert changed([sentence])[0].spans
    with torch.no_grad():
        changed.head.weight.zero_()
        changed.head.bias.zero_()
        changed.head.bias[::3] = 5.0
    assert not changed([sentence])[0].spans


def test_excluded_and_repeated_sentences_are_left_out(marked):
    srsly.write_jsonl(marked, [*MARKED, MARKED[0]])
    assert len(read_marked(marked)) == 2
    (left,) = read_marked(marked, ["Java is: a plus!"])
    assert left.words[1] == "bake"


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["a"]},
        {"tokens": ["a"], "tags_skill": ["O"], "tags_knowledge": []},
        {"tokens": ["a"], "tags_skill": ["X"], "tags_knowledge": ["O"]},
        {"tokens": ["a"], "tags_skill": [""], "tags_knowledge": ["O"]},
        [],
    ],
)
def test_bad_lines_are_named(marked, row):
    srsly.write_jsonl(marked, [MARKED[0], row])
    with pytest.raises(ValueError, match="S803.*marked.jsonl, line 2"):
        read_marked(marked)


def test_damaged_spanners_are_refused(tmp_path):
    (tmp_path / "spanner").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="S801"):
        read_spanner(tmp_path / "spanner")
    with pytest.raises(ValueError, match="S801"):
        SkillSpanner.from_bytes(srsly.msgpack_dumps({"config": {}}))


def test_command(marked, tmp_path, tiny_encoder):
    output = tmp_path / "spanner"
    args = ["spans", str(marked), str(output), "--base", tiny_encoder, "--layers", "1"]
    result = CliRunner().invoke(skills_cli, [*args, "--epochs", "1"])
    assert result.exit_code == 0, result.output
    assert read_spanner(output).transformer.config.num_hidden_layers == 1
    # The same seed gives the same file, byte for byte.
    for seed, same in ((0, True), (1, False)):
        args[2] = str(tmp_path / str(seed))
        more = ["--epochs", "1", "--seed", str(seed)]
        assert CliRunner().invoke(skills_cli, [*args, *more]).exit_code == 0
        again = (tmp_path / str(seed)).read_bytes()
        assert (again == output.read_bytes()) is same
    result = CliRunner().invoke(skills_cli, [*args, "--exclude", str(tmp_path)])
    assert result.exit_code == 1 and "S804" in result.output
    args[1] = "nowhere.jsonl"
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 1


def test_pieces_that_the_spanner_finds_are_scored(make_nlp, taxonomy, trained):
    nlp = make_nlp(
        labels={},
        pretrained=None,
        phrases={"@misc": "spacy_skills.no_phrases.v1"},
        top_k=11,
    )
    text = "you bake bread today"
    nlp.remove_pipe("esco_matcher")
    ranker = nlp.get_pipe("esco_skills")
    doc = nlp(text)
    assert {span.text for span in doc.spans["esco_skills"]} == {text}
    ranker.initialize(
        lambda: [], nlp=nlp, taxonomy=taxonomy, labels={}, spanner=trained
    )
    doc = nlp(text)
    assert "bake bread" in {span.text for span in doc.spans["esco_skills"]}
