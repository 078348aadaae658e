import gzip
import json

import numpy
import pytest
import spacy
import torch
from conftest import SKILLS, uri
from typer.testing import CliRunner

from spacy_skills import fine_tuning, tuning
from spacy_skills.cli import skills_cli
from spacy_skills.encoder import weights_digest
from spacy_skills.judged import JudgedSpan, read_judged, sentence_digest
from spacy_skills.neighbours import cosine_table
from spacy_skills.tuning import (
    Judged,
    Settings,
    judged_loss,
    tune_encoder,
    written_loss,
)

SENTENCES = {
    "You bring loaves out of the oven.": ("loaves", "bread", ["pastry", "dough"]),
    "You look after cuts and burns.": ("cuts", "wounds", ["patients"]),
    "You bring goods to the shops.": ("goods", "truck", ["walls", "wires"]),
}
SETTINGS = Settings(steps=20, spans=2, sentences=1, texts=2, learn_rate=0.01, share=1.0)


@pytest.fixture
def spans():
    return [
        JudgedSpan(
            sentence,
            sentence.index(text),
            sentence.index(text) + len(text),
            (uri(chosen),),
            tuple(map(uri, rejected)),
        )
        for sentence, (text, chosen, rejected) in SENTENCES.items()
    ]


@pytest.fixture
def pairs(taxonomy):
    keys = ("python", "sql", "bread")
    return [(f"you {SKILLS[key][0]}", taxonomy.index(uri(key))) for key in keys]


@pytest.fixture
def write(tmp_path):
    def write_file(rows, name="judged.jsonl"):
        path = tmp_path / name
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "wt", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        return path

    return write_file


def judged_rows(digest):
    """What a file of SENTENCES holds, with texts or with digests."""
    skills = [uri(key) for key in SKILLS]
    rows = [{"skills": skills}]
    for sentence, (text, chosen, rejected) in SENTENCES.items():
        start = sentence.index(text)
        row = {
            "start": start,
            "end": start + len(text),
            "chosen": [skills.index(uri(chosen))],
            "rejected": [skills.index(uri(key)) for key in rejected],
        }
        key, value = (
            ("digest", sentence_digest(sentence))
            if digest
            else (
                "sentence",
                sentence,
            )
        )
        rows.append({key: value, **row})
    return rows


def test_texts_and_digests_read_the_same(write, spans):
    texts = read_judged(write(judged_rows(False)))
    digests = read_judged(
        write(judged_rows(True), "d.jsonl.gz"), ["Other.", *SENTENCES]
    )
    assert texts == digests == (spans, [])
    assert spans[0].text == "loaves"


def test_digests_that_are_not_among_the_ads(write, spans):
    path = write(judged_rows(True))
    found, missing = read_judged(path, list(SENTENCES)[1:])
    assert found == spans[1:]
    assert missing == [sentence_digest(spans[0].sentence)]
    with pytest.raises(ValueError, match="S708.*by digest: 3"):
        read_judged(path, ["Other."])
    rows = judged_rows(True)
    rows[2]["end"] = 500
    with pytest.raises(ValueError, match="S707.*line 3.*to 500"):
        read_judged(write(rows), SENTENCES)


@pytest.mark.parametrize(
    "line",
    [
        {"sentence": "Bake.", "start": 0, "end": 9, "chosen": [], "rejected": []},
        {"sentence": "Bake.", "start": 3, "end": 3, "chosen": [], "rejected": []},
        {"sentence": "Bake.", "start": 0, "end": 4, "chosen": [99], "rejected": []},
        {"sentence": "Bake.", "start": 0, "end": 4, "chosen": [-1], "rejected": []},
        {"sentence": "Bake.", "start": 0, "end": 4, "chosen": [0]},
        {"start": 0, "end": 4, "chosen": [0], "rejected": []},
        {"sentence": "Bake.", "start": "0", "end": 4, "chosen": [0], "rejected": []},
        {"sentence": "Bake.", "start": 0, "end": 4.2, "chosen": [0], "rejected": []},
        {"sentence": ["Bake."], "start": 0, "end": 1, "chosen": [0], "rejected": []},
        {"sentence": None, "digest": "a", "start": 0, "end": 1, "chosen": [0]},
        ["Bake."],
    ],
)
def test_damaged_lines_are_named(write, line):
    with pytest.raises(ValueError, match=r"S707.*judged\.jsonl, line 3"):
        read_judged(write([*judged_rows(False)[:2], line]))


def test_no_file_no_header_and_no_spans(write, tmp_path):
    with pytest.raises(ValueError, match="S708"):
        read_judged(write(judged_rows(False)[:1]))
    with pytest.raises(ValueError, match="S706"):
        read_judged(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="S707.*line 1"):
        read_judged(write(judged_rows(False)[1:]))


def test_losses_are_the_softmax_by_hand():
    rng = numpy.random.default_rng(0)
    unit = rng.normal(size=(6, 4))
    unit /= numpy.linalg.norm(unit, axis=1, keepdims=True)
    prior = rng.normal(size=6)
    text = rng.normal(size=(2, 4))
    items = [Judged("", "", [2, 0], [5]), Judged("", "", [1], [3, 4])]
    skills = tuning.Skills(torch.tensor(unit), torch.tensor(prior))

    def log_softmax(vector, rows, with_prior):
        logits = 20 * unit[rows] @ vector + with_prior * prior[rows]
        return logits - numpy.log(numpy.exp(logits).sum())

    expected = -log_softmax(text[0], [2, 0, 5], 1)[:2].mean()
    expected = (expected - log_softmax(text[1], [1, 3, 4], 1)[0]) / 2
    loss = judged_loss(torch.tensor(text), items, skills)
    assert loss.item() == pytest.approx(expected)


def test_the_same_skill_is_a_negative_only_as_a_neighbour(taxonomy):
    vectors = numpy.eye(len(taxonomy), dtype="float32")
    vectors[1] = vectors[0]
    near = cosine_table(taxonomy, vectors, 2)
    text = torch.tensor(vectors[[0, 1]])
    loss = written_loss(text, [0, 1], torch.tensor(vectors), near)
    # Of each text's two neighbours one is the same skill, at a cosine of 1.
    rows = [[0, *near.of(0)[0]], [1, *near.of(1)[0]]]
    logits = [20 * vectors[r] @ vectors[0] for r in rows]
    expected = numpy.mean([numpy.log(numpy.exp(x - 20.0).sum()) for x in logits])
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_tuning_learns_what_was_judged(make_nlp, spans, pairs, tmp_path):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    kept = ("names", "prior", "weights", "bias")
    before = [ranker.model.layers[-1].get_param(name).copy() for name in kept]
    first = dict(ranker.model.layers[0].layers[0].transformer.state_dict())
    first = {name: value.clone() for name, value in first.items()}
    losses = tune_encoder(ranker, spans, pairs, tmp_path / "run", list, SETTINGS)
    assert len(losses) == 20
    assert numpy.mean(losses[-4:]) < 0.5 * numpy.mean(losses[:4])
    classifiers = ranker.model.layers[-1]
    for name, value in zip(kept, before):
        assert (classifiers.get_param(name) == value).all()
    last = ranker.model.layers[0].layers[0].transformer.state_dict()
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert changed and not any(name.startswith("embeddings.") for name in changed)
    for span in spans:
        (_, logits), *_ = ranker.rank([nlp.make_doc(span.text)])
        chosen, *rejected = (
            logits[ranker.taxonomy.index(u)] for u in (*span.chosen, *span.rejected)
        )
        assert chosen > max(rejected)


def test_tuning_interrupted_gives_the_same_encoder(
    make_nlp, spans, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 7)

    def run(folder, nlp=None):
        ranker = (nlp or make_nlp()).get_pipe("esco_skills")
        losses = tune_encoder(ranker, spans, pairs, tmp_path / folder, list, SETTINGS)
        return losses, ranker.model.to_bytes()

    whole = run("a")
    real, calls = tuning.judged_loss, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tuning, "judged_loss", dies)
        run("b")
    assert (tmp_path / "b" / "checkpoint.pt").exists()
    with pytest.raises(ValueError, match="S705"):
        run("b", make_nlp(labels={uri("sql"): 9}))
    assert run("b") == whole
    assert not (tmp_path / "b" / "checkpoint.pt").exists()


def test_checkpoint_stays_until_the_ranker_is_saved(
    make_nlp, spans, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 10)
    ranker = make_nlp().get_pipe("esco_skills")
    checkpoint = tmp_path / "checkpoint.pt"

    def full_disk():
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        tune_encoder(ranker, spans, pairs, tmp_path, full_disk, SETTINGS)
    assert checkpoint.exists()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ValueError, match="S711.*checkpoint"):
        ranker = make_nlp().get_pipe("esco_skills")
        tune_encoder(ranker, spans, pairs, tmp_path, list, SETTINGS)


def test_a_run_that_fails_leaves_the_encoder_as_it_was(
    make_nlp, spans, pairs, tmp_path, monkeypatch
):
    ranker = make_nlp().get_pipe("esco_skills")
    before = weights_digest(ranker.model.layers[0])

    calls = []

    def dies(*args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return judged_loss(*args)

    monkeypatch.setattr(tuning, "judged_loss", dies)
    with pytest.raises(KeyboardInterrupt):
        tune_encoder(ranker, spans, pairs, tmp_path, list, SETTINGS)
    assert weights_digest(ranker.model.layers[0]) == before


def test_only_an_untrained_ranker_of_names_is_tuned(make_nlp, spans, pairs, tmp_path):
    ranker = make_nlp().get_pipe("esco_skills")
    ranker.model.layers[1].get_param("W")[0, 0] = 1.0
    with pytest.raises(ValueError, match="S709"):
        tune_encoder(ranker, spans, pairs, tmp_path, list, SETTINGS)


def test_nothing_to_learn_from(make_nlp, spans, pairs, tmp_path):
    ranker = make_nlp().get_pipe("esco_skills")
    other = [span._replace(chosen=("urn:other",)) for span in spans]
    with pytest.raises(ValueError, match="S710.*0 judged"):
        tune_encoder(ranker, other, pairs, tmp_path / "run", list, SETTINGS)
    with pytest.raises(ValueError, match="S710.*0 written"):
        tune_encoder(ranker, spans, [], tmp_path / "run", list, SETTINGS)


def test_command(make_nlp, write, tmp_path, monkeypatch):
    make_nlp().to_disk(tmp_path / "assembled")
    ads = tmp_path / "ads.txt"
    ads.write_text(next(iter(SENTENCES)), encoding="utf8")
    texts = tmp_path / "texts.tsv"
    texts.write_text(f"uri\tskill\ttext\n{uri('sql')}\tSQL\tqueries\n")
    judged = write(judged_rows(True))
    output = tmp_path / "tuned"
    args = ["tune", tmp_path / "assembled", judged, texts, "-o", output, "--ads", ads]
    result = CliRunner().invoke(skills_cli, [*map(str, args), "--steps", "2"])
    assert result.exit_code == 0, result.output
    assert "Left out: 2 texts" in result.output
    doc = spacy.load(output)("You bring loaves out of the oven.")
    assert len(doc.spans["esco_skills"]) == 5

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_skills.tuning.fine_tune", interrupted)
    result = CliRunner().invoke(skills_cli, [*map(str, args), "--steps", "3"])
    assert result.exit_code == 1 and "the same command goes on" in result.output
