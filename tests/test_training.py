"""The configs through spaCy's own commands, on a small corpus with a tiny encoder."""

from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.cli import app
from spacy.cli.debug_config import debug_config
from spacy.cli.evaluate import evaluate
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.spanner import SkillSpanner

CONFIGS = Path(__file__).parent.parent / "configs"
# Those of `skills compare`, and the one that only `spacy assemble` reads.
OTHERS = {"compare.cfg", "factors.cfg", "pretrained.cfg"}
# As they were in former releases, see releases/README.md.
FORMER = sorted(Path(__file__).parent.glob("releases/*/configs/*.cfg"))
assert FORMER
CONFIG_NAMES = sorted({path.name for path in CONFIGS.glob("*.cfg")} - OTHERS)
SENTENCES = [
    "You know {} and work with servers every day",
    "Our developers use {} to build what the customers want",
    "Experience with {} is part of what we ask for",
    "Early in the morning you {} with two colleagues",
    "It is your job to {} until the shift ends at noon",
    "We teach you how to {} in the first weeks",
]
NAMES = {
    0: ["Python", "Java", "structured query language"],
    3: ["bake bread", "make pastry", "prepare dough", "drive trucks", "plaster walls"],
}


@pytest.fixture(scope="module")
def corpus(taxonomy_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["text"]
    for first, names in NAMES.items():
        for i, name in enumerate(names):
            lines += [s.format(name) for s in SENTENCES[first : first + 3]]
            lines += [
                f"Number {i}, team {first}: {name} in house {i} of {first} streets"
            ]
    ads = folder / "ads.tsv"
    ads.write_text("\n".join(lines), encoding="utf8")
    result = CliRunner().invoke(
        skills_cli,
        ["corpus", str(ads), str(taxonomy_path), str(folder / "distant")]
        + ["--n-process", "1", "--dev-share", "0.3"],
    )
    assert result.exit_code == 0, result.output
    return folder / "distant"


@pytest.fixture
def overrides(corpus, taxonomy_path, tiny_encoder, tmp_path):
    return {
        "paths.taxonomy": str(taxonomy_path),
        "paths.train": str(corpus / "train"),
        "paths.dev": str(corpus / "dev"),
        "paths.labels": str(corpus / "labels.json"),
        "training.batcher.skills_per_batch": 4,
        "training.eval_frequency": 2,
        "training.max_epochs": 2,
    }


def with_encoder(
    name: str, encoder: str, tmp_path: Path, folder: Path = CONFIGS
) -> Path:
    """The config with another encoder wherever it names the bundled one."""
    text = (folder / name).read_text(encoding="utf8")
    bundled = '.name]\n@misc = "spacy_skills.bundled_minilm.v1"'
    assert bundled in text
    while bundled in text:
        before, after = text.split(bundled, 1)
        head, section = before.rsplit("\n[", 1)
        text = _insert_name(head, section, encoder) + after
    path = tmp_path / name
    path.write_text(text, encoding="utf8")
    return path


def _insert_name(head: str, section: str, encoder: str) -> str:
    opening = f"[{section}]\n"
    assert opening in head
    return head.replace(opening, f'{opening}name = "{encoder}"\n')


@pytest.mark.parametrize("former", FORMER, ids=lambda path: "/".join(path.parts[-3::2]))
def test_configs_of_former_releases_train(former, overrides, tiny_encoder, tmp_path):
    path = with_encoder(former.name, tiny_encoder, tmp_path, former.parent)
    out = tmp_path / "out"
    train(path, out, overrides=overrides | {"training.max_steps": 1})
    assert "esco_skills" in spacy.load(out / "model-last")("You bake bread").spans


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_trains_evaluates_and_loads(config, overrides, corpus, tiny_encoder, tmp_path):
    path = with_encoder(config, tiny_encoder, tmp_path)
    train(path, tmp_path / "out", overrides=overrides)
    heldout = tmp_path / "heldout.spacy"
    arguments = ["convert", str(corpus / "dev"), str(heldout)]
    assert CliRunner().invoke(skills_cli, arguments).exit_code == 0
    scores = evaluate(str(tmp_path / "out" / "model-last"), heldout)
    assert 0 < scores["esco_mrr"] <= 1 and scores["esco_scored"] > 0
    nlp = spacy.load(tmp_path / "out" / "model-last")
    doc = nlp("You bake bread.")
    assert doc.spans["esco_skills"].attrs["scores"].shape


def weights(pipeline: Path) -> list[numpy.ndarray]:
    ranker = spacy.load(pipeline).get_pipe("esco_skills")
    return [
        node.get_param(name)
        for node in ranker.model.walk()
        for name in node.param_names
    ]


def test_same_seed_same_weights(overrides, tiny_encoder, tmp_path):
    path = with_encoder("frozen.cfg", tiny_encoder, tmp_path)
    for run, seed in (("first", 3), ("second", 3), ("other", 4)):
        train(path, tmp_path / run, overrides={**overrides, "system.seed": seed})
    first, second, other = (
        weights(tmp_path / run / "model-last") for run in ("first", "second", "other")
    )
    assert all(numpy.array_equal(a, b) for a, b in zip(first, second))
    assert not all(numpy.array_equal(a, b) for a, b in zip(first, other))


def test_cached_vectors_change_nothing(overrides, tiny_encoder, tmp_path):
    path = with_encoder("frozen.cfg", tiny_encoder, tmp_path)
    runs = ("fresh", "cached", "again")
    for run in runs:
        cached = {**overrides, "paths.cache": str(tmp_path / "cache")}
        train(path, tmp_path / run, overrides=cached)
    fresh, cached, again = (weights(tmp_path / run / "model-last") for run in runs)
    assert all(numpy.array_equal(a, b) for a, b in zip(cached, again))
    # A vector's last bits depend on what it was batched with; Adam's first steps are of
    # the size of the rate, 1e-4, however small the gradient.
    assert all(numpy.allclose(a, b, atol=1e-4) for a, b in zip(fresh, cached))


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_configs_are_complete(config, overrides, tiny_encoder, tmp_path):
    path = with_encoder(config, tiny_encoder, tmp_path)
    filled = tmp_path / "filled.cfg"
    fill_config(filled, path)
    debug_config(filled, overrides=overrides)
    assert "top_k = 5" in filled.read_text(encoding="utf8")


def test_labels_are_plain_counts(corpus):
    counts = srsly.read_json(corpus / "labels.json")
    assert counts and all(isinstance(count, int) for count in counts.values())


def test_the_shipped_ranker_s_config_assembles(
    corpus, taxonomy_path, tiny_encoder, tmp_path
):
    SkillSpanner.from_base(tiny_encoder, 1).to_disk(tmp_path / "spanner")
    bake = "http://example.org/skill/bread"
    (tmp_path / "texts.tsv").write_text(f"uri\tskill\ttext\n{bake}\tx\tloaves\n")
    (tmp_path / "dropped.jsonl").write_text("")
    settings = {
        "taxonomy": taxonomy_path,
        "labels": corpus / "labels.json",
        "drop_names": tmp_path / "dropped.jsonl",
        "encoder": tiny_encoder,
        "spanner": tmp_path / "spanner",
        "texts": tmp_path / "texts.tsv",
    }
    args = ["assemble", str(CONFIGS / "pretrained.cfg"), str(tmp_path / "pipeline")]
    for name, value in settings.items():
        args += [f"--paths.{name}", str(value)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    nlp = spacy.load(tmp_path / "pipeline")
    ranker = nlp.get_pipe("esco_skills")
    assert ranker.spanner is not None and len(ranker.labels) == 11
    ranker.cfg["threshold"] = 0.0
    assert len(nlp("You bake bread.").spans["esco_skills"]) == 5
