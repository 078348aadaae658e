import gzip

import numpy
import pytest
import torch
from conftest import uri
from typer.testing import CliRunner

from spacy_skills import contrastive, fine_tuning
from spacy_skills.cli import skills_cli
from spacy_skills.contrastive import (
    Batch,
    Batches,
    Settings,
    ranking_loss,
    train_encoder,
)
from spacy_skills.fine_tuning import TextModel, average
from spacy_skills.neighbours import cosine_table
from spacy_skills.texts import read_skill_texts

TEXTS = {
    "bread": ["loaves in the oven", "make loaves"],
    "python": ["scripts and programs", "computer scripts"],
    "wounds": ["bandage a cut", "apply a bandage"],
    "truck": ["long distance driver", "vehicles on the road"],
}


@pytest.fixture
def pairs(taxonomy):
    return [(text, taxonomy.index(uri(s))) for s in TEXTS for text in TEXTS[s]]


@pytest.fixture
def near(taxonomy):
    vectors = numpy.random.default_rng(0).normal(size=(len(taxonomy), 8))
    return cosine_table(taxonomy, vectors.astype("float32"), 5)


def test_a_step_has_the_same_batch_whenever_it_is_asked_for(taxonomy, pairs, near):
    settings = Settings(batch_size=4, epochs=2)
    batches = Batches(taxonomy, pairs, near, settings)
    assert len(batches) == 4
    forward = [batches[step] for step in range(4)]
    backward = [Batches(taxonomy, pairs, near, settings)[s] for s in (3, 2, 1, 0)]
    assert [b[:4] for b in forward] == [b[:4] for b in reversed(backward)]
    for first, second in ((0, 1), (2, 3)):
        met = forward[first].texts + forward[second].texts
        assert sorted(met) == sorted(text for text, _ in pairs)


def test_candidates_are_the_batch_s_skills_and_near_ones(taxonomy, pairs, near):
    settings = Settings(batch_size=8, hard_negatives=2)
    batch = Batches(taxonomy, pairs, near, settings)[0]
    assert len(set(batch.candidates)) == len(batch.candidates) == len(batch.names)
    allowed = set(batch.rows)
    allowed.update(int(r) for row in batch.rows for r in near.of(row)[0])
    assert set(batch.rows) < set(batch.candidates) <= allowed
    for row, name in zip(batch.candidates, batch.names):
        skill = taxonomy.skills[row]
        assert name in (skill.name, *skill.alt_names)


def test_no_batch_without_enough_texts(taxonomy, pairs, near):
    with pytest.raises(ValueError, match="S704.*8 texts.*9"):
        Batches(taxonomy, pairs, near, Settings(batch_size=9))


def test_loss_is_the_softmax_by_hand():
    rng = numpy.random.default_rng(1)
    texts, names = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    masked = numpy.array([[False, False, True], [False, False, False]])
    batch = Batch(["a", "b"], [7, 5], [5, 7, 9], ["x", "y", "z"], masked)
    loss = ranking_loss(torch.tensor(texts), torch.tensor(names), batch, 2.0)
    logits = 2.0 * texts @ names.T
    first = -numpy.log(numpy.exp(logits[0, 1]) / numpy.exp(logits[0, :2]).sum())
    second = -numpy.log(numpy.exp(logits[1, 0]) / numpy.exp(logits[1]).sum())
    assert loss.item() == pytest.approx((first + second) / 2)


def test_average_lies_between():
    first, last = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([2.0, 4.0])}
    assert average(first, last, 0.25)["w"].tolist() == [0.5, 4.0]


def test_training_interrupted_gives_the_same_encoder(
    taxonomy, pairs, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 3)
    settings = Settings(batch_size=4, epochs=5, learn_rate=0.01, share=1.0)
    losses = train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / "a", settings)
    assert len(losses) == 10 and numpy.mean(losses[-3:]) < numpy.mean(losses[:3])

    class Killed(Exception):
        pass

    real, calls = contrastive.ranking_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 8:
            raise Killed
        return real(*args)

    monkeypatch.setattr(contrastive, "ranking_loss", dies)
    with pytest.raises(Killed):
        train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / "b", settings)
    with pytest.raises(ValueError, match="S705"):
        other = Settings(batch_size=4, epochs=5, learn_rate=0.02)
        train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / "b", other)
    again = train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / "b", settings)
    assert again == losses
    names = ["model.safetensors", "config.json"]
    for name in names:
        a, b = ((tmp_path / run / name).read_bytes() for run in "ab")
        assert a == b
    assert not (tmp_path / "b" / "checkpoint.pt").exists()


def test_command_and_embeddings_that_stay(
    taxonomy_path, tiny_encoder, tmp_path, monkeypatch
):
    path = tmp_path / "texts.tsv.gz"
    lines = [f"{uri(s)}\t{s}\t{text}\n" for s in TEXTS for text in TEXTS[s]]
    with gzip.open(path, "wt") as file:
        file.write("uri\tskill\ttext\n" + "".join(lines) + "urn:other\tother\ttext\n")
    output = tmp_path / "encoder"
    args = ["encoder", str(taxonomy_path), str(path), "--output", str(output)]
    args += ["--base", tiny_encoder, "--batch-size", "4"]
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 0, result.output
    before, after = (
        TextModel.from_pretrained(str(name), "cpu").transformer.state_dict()
        for name in (tiny_encoder, output)
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("embeddings.") for name in changed)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_skills.contrastive.ranking_loss", interrupted)
    args[4] = str(tmp_path / "other")
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 1 and "the same command goes on" in result.output


@pytest.mark.parametrize(
    "content,error",
    [
        ("uri\tskill\ttext\na\tb\tc\na\tb\n", "S703.*line 3"),
        ("uri\tskill\ttext\na\tb\t \n", "S703.*line 2"),
        ("uri\ttext\na\tb\n", "S702.*uri, text"),
    ],
)
def test_texts_that_can_not_be_read(tmp_path, content, error):
    path = tmp_path / "texts.tsv"
    path.write_text(content)
    with pytest.raises(ValueError, match=error):
        read_skill_texts(path)
    with pytest.raises(ValueError, match="S701"):
        read_skill_texts([tmp_path / "nowhere.tsv"])
    assert read_skill_texts(None) == {}
