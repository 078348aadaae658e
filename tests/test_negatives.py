"""``skills negatives``: what a config's strategy draws from, and what it skips."""

from pathlib import Path

import pytest
from conftest import SKILLS, uri
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture(scope="module")
def corpus(taxonomy_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    names = [SKILLS[key][0] for key in ("bread", "pastry", "sql", "walls")]
    lines = [f"here in house {i} you {n} again" for i, n in enumerate(names)]
    (folder / "ads.tsv").write_text("\n".join(["text", *lines]))
    arguments = ["corpus", str(folder / "ads.tsv"), str(taxonomy_path)]
    options = [str(folder / "distant"), "--n-process", "1", "--dev-share", "0"]
    result = CliRunner().invoke(skills_cli, [*arguments, *options])
    assert result.exit_code == 0, result.output
    return folder / "distant" / "train"


def run(config, corpus, taxonomy_path, *more):
    paths = ["--paths.taxonomy", str(taxonomy_path), "--paths.train", str(corpus)]
    arguments = ["negatives", str(CONFIGS / config), *more, *paths]
    return CliRunner().invoke(skills_cli, arguments)


def cells(output):
    return [line.split() for line in output.splitlines() if line.strip()]


def test_shows_neighbours_and_what_was_skipped(corpus, taxonomy_path):
    skills = ["--skill", "bake bread", "--skill", uri("truck")]
    result = run("siblings.cfg", corpus, taxonomy_path, *skills)
    assert result.exit_code == 0, result.output
    lines = cells(result.output)
    assert ["Skills", "with", "a", "sentence", "4", "of", "11"] in lines
    assert ["bake", "pastry", "1"] in lines and ["prepare", "dough", "0"] in lines
    # Dough; Java and Python; wiring. Pastry has dough too.
    assert ["Skipped:", "too", "few", "positives", "5"] in lines
    assert "No neighbours: negatives are random" in result.output
    # No two skills share a sentence.
    assert "Neighbours among the skills of one sentence none".split() in lines


def test_how_often_neighbours_share_a_sentence(taxonomy_path, tmp_path):
    lines = ["you bake bread or bake pastry", "you bake bread and plaster walls"]
    (tmp_path / "ads.tsv").write_text("\n".join(["text", *lines]))
    arguments = ["corpus", str(tmp_path / "ads.tsv"), str(taxonomy_path)]
    options = [str(tmp_path / "d"), "--n-process", "1", "--dev-share", "0"]
    assert CliRunner().invoke(skills_cli, [*arguments, *options]).exit_code == 0
    result = run("siblings.cfg", tmp_path / "d" / "train", taxonomy_path)
    # 2 of 4 ordered pairs; bread and pastry have 2 siblings of 11 skills, walls 1.
    assert f"50.0%, {2 / ((2 + 2 + 2 + 1) / 11):.0f} times chance" in result.output


def test_random_negatives_have_no_neighbours(corpus, taxonomy_path):
    result = run("frozen.cfg", corpus, taxonomy_path, "--skill", "SQL")
    assert result.exit_code == 0, result.output
    assert "No neighbours: negatives are random" in result.output


def test_mistakes_are_named(corpus, taxonomy_path, tmp_path):
    unknown = run("siblings.cfg", corpus, taxonomy_path, "--skill", "juggle")
    assert unknown.exit_code == 1 and "S506" in unknown.output
    (tmp_path / "other.cfg").write_text('[nlp]\nlang = "en"\n')
    result = CliRunner().invoke(skills_cli, ["negatives", str(tmp_path / "other.cfg")])
    assert result.exit_code == 1 and "S507" in result.output
