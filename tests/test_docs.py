"""The docs name files and commands that exist."""

import re
import runpy
from pathlib import Path

import pytest
import srsly
from spacy.cli import app
from typer.main import get_command

import spacy_skills.cli  # noqa: F401  (registers its commands)

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("assets/*.md")])
PROJECT = srsly.read_yaml(ROOT / "project.yml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf8")):
        if not target.startswith("http"):
            path = page.parent / target
            # The licence files stay behind where only docs and tests are copied.
            elsewhere = path.name in {"NOTICE", "CITATION.cff"}
            in_package = "spacy_skills/" in target
            assert path.exists() or elsewhere or in_package, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    commands = get_command(app).commands
    known = {c["name"] for c in PROJECT["commands"]} | set(PROJECT["workflows"])
    text = page.read_text(encoding="utf8")
    for line in re.findall(r"python -m spacy ([^`\n&]+)", text):
        first, *rest = line.split()
        assert first in commands or first.startswith("…"), line
        if first == "skills" and rest[0] != "…":
            assert rest[0] in commands["skills"].commands, line
        if first == "project" and len(rest) > 1:
            assert rest[0] == "run" and rest[1] in known, line


def test_readme_keeps_the_two_commands_that_ci_runs():
    text = (ROOT / "README.md").read_text(encoding="utf8")
    for name in ("test", "main"):
        (command,) = re.findall(rf"<!-- ci: {name} -->\n```bash\n([^\n]+)\n```", text)
        assert command.startswith("pip install")


def test_readme_examples_run(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text(encoding="utf8")
    first, second = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(first, {})
    printed = capsys.readouterr().out
    shown = text.split("```python")[1].split("```\n")[2]
    # What stands below it, but for the last digit.
    assert [line[4:] for line in printed.splitlines()] == [
        line[4:] for line in shown.strip().splitlines()
    ]
    names: dict = {}
    exec(second, names)
    assert len(names["ranker"].labels) == 345


def test_example_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    runpy.run_path("examples/tasks.py")
    printed = capsys.readouterr().out
    assert "Python (computer programming)  (knowledge): Python" in printed
    assert "20 ads. Most of them want" in printed
    assert "missing" in printed and "shown" in printed


def test_plain_text_example_of_the_docs():
    page = (ROOT / "docs" / "ads.md").read_text(encoding="utf8")
    code, expected = re.search(
        r"(from spacy_skills.*?)\n# (.*?)\n```", page, re.DOTALL
    ).groups()
    *head, call = code.strip().splitlines()
    names: dict = {}
    exec("\n".join(head), names)
    assert eval(call, names) == eval(expected)
