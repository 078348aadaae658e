"""``spacy skills extract``: every ad once, whatever happens."""

import csv
import gzip
import io
import json

import pytest
import srsly
from spacy.language import Language
from typer.testing import CliRunner

from spacy_skills.cli import extract as command
from spacy_skills.cli import skills_cli
from spacy_skills.extraction import read_records

ADS = ["You bake bread.", "Install electrical wiring; drive trucks.", "Nothing here"]


@pytest.fixture
def pipeline(make_nlp, tmp_path):
    make_nlp(top_k=1, threshold=0.0).to_disk(tmp_path / "nlp")
    return str(tmp_path / "nlp")


@pytest.fixture
def ads(tmp_path):
    path = tmp_path / "ads.jsonl"
    srsly.write_jsonl(path, [{"text": text} for text in ADS])
    return path


def run(*args, **kwargs):
    return CliRunner().invoke(skills_cli, ["extract", *map(str, args)], **kwargs)


def test_jsonl(pipeline, ads, tmp_path):
    output = tmp_path / "out" / "skills.jsonl"
    result = run(ads, "-o", output, "-p", pipeline)
    assert result.exit_code == 0, result.output
    records = list(read_records(output))
    assert [record["text"] for record in records] == ADS
    assert records[0]["source"] == f"{ads}:1"
    (bread,) = records[0]["skills"]
    assert bread["name"] == "bake bread"
    assert [p.name for p in output.parent.iterdir()] == ["skills.jsonl"]


def test_csv_and_parquet_have_a_row_for_each_skill(pipeline, ads, tmp_path):
    from pyarrow import parquet

    for name in ("s.csv", "s.parquet"):
        assert run(ads, "-o", tmp_path / name, "-p", pipeline).exit_code == 0
    with open(tmp_path / "s.csv", encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [f"{ads}:{i}" for i in (1, 2, 3)]
    assert rows[0]["name"] == "bake bread" and rows[0]["evidence"] == "bake bread"
    assert rows[0]["groups"] == "baking" and rows[0]["evidence_type"] == "name"
    table = parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert [{k: str(v) for k, v in row.items()} for row in table] == rows


def test_files_folders_and_stdin(pipeline, tmp_path):
    folder = tmp_path / "ads"
    folder.mkdir()
    (folder / "a.html").write_text(
        "<p>Bake <b>bread</b><p>Drive trucks", encoding="utf8"
    )
    (folder / "b.md").write_text("# Cook\n\n* **prepare** dough", encoding="utf8")
    with gzip.open(folder / "c.csv.gz", "wt", encoding="utf8") as file:
        file.write('id,text\n1,"Plaster\nwalls"\n')
    result = run(
        folder,
        "-",
        "-p",
        pipeline,
        "--stdin-format",
        "jsonl",
        input='{"text": "SQL"}\n',
    )
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["text"] for record in records] == [
        "Bake bread\nDrive trucks",
        "Cook\n• prepare dough",
        "Plaster\nwalls",
        "SQL",
    ]
    assert records[-1]["source"] == "stdin.jsonl:1"


def test_bad_ads_are_reported_and_skipped(pipeline, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b'{"text": "Bake bread"}\nno json\n{"text": "\xff"}\n{"body": "x"}\n{"text": "SQL"}\n'
    )
    (tmp_path / "b.csv").write_text('text\nDrive trucks\n"open', encoding="utf8")
    (tmp_path / "c.txt").write_text("Plaster walls", encoding="utf8")
    output = tmp_path / "skills.jsonl"
    files = [tmp_path / name for name in ("a.jsonl", "b.csv", "c.txt")]
    result = run(*files, "-o", output, "-p", pipeline)
    assert result.exit_code == command.SKIPPED
    texts = [record["text"] for record in read_records(output)]
    assert texts == ["Bake bread", "SQL", "Drive trucks", "Plaster walls"]
    for part in ("a.jsonl', line 2", "a.jsonl', line 3", "line 4", "b.csv", "4 ads"):
        assert part in result.output


@Language.component("fails_on_walls")
def fails_on_walls(doc):
    if "walls" in doc.text:
        raise RuntimeError("no walls")
    return doc


@pytest.mark.parametrize("n_process", [1, 2])
def test_an_ad_that_fails_takes_no_other_with_it(make_nlp, tmp_path, n_process):
    nlp = make_nlp(top_k=1)
    nlp.add_pipe("fails_on_walls", first=True)
    nlp.to_disk(tmp_path / "nlp")
    ads = tmp_path / "ads.jsonl"
    texts = ["SQL", "Plaster walls", "Bake bread", "x" * (nlp.max_length + 1), "Java"]
    srsly.write_jsonl(ads, [{"text": text} for text in texts])
    output = tmp_path / "skills.jsonl"
    result = run(ads, "-o", output, "-p", tmp_path / "nlp", "-n", n_process)
    assert result.exit_code == command.SKIPPED
    assert [r["text"] for r in read_records(output)] == ["SQL", "Bake bread", "Java"]
    assert "ads.jsonl:2" in result.output and "no walls" in result.output
    assert "ads.jsonl:4" in result.output


def test_an_interrupted_run_goes_on(pipeline, ads, tmp_path, monkeypatch):
    output = tmp_path / "skills.jsonl"
    whole = tmp_path / "whole.jsonl"
    run(ads, "-o", whole, "-p", pipeline)

    real = command.extract_skills
    seen = []

    def stop_after_one(nlp, todo, **kwargs):
        for record in real(nlp, todo, **kwargs):
            yield record
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "extract_skills", stop_after_one)
    result = run(ads, "-o", output, "-p", pipeline)
    assert result.exit_code == command.INTERRUPTED and not output.exists()
    journal = tmp_path / "skills.jsonl.unfinished"
    # As a kill in the middle of a line leaves it.
    with journal.open("ab") as file:
        file.write(b'{"source": "x')

    def count(nlp, todo, **kwargs):
        for record in real(nlp, todo, **kwargs):
            seen.append(record["source"])
            yield record

    monkeypatch.setattr(command, "extract_skills", count)
    other = run(ads, "-o", output, "-p", pipeline, "--top-k", 2)
    assert other.exit_code == 1 and "S905" in other.output
    assert run(ads, "-o", output, "-p", pipeline).exit_code == 0
    assert seen == [f"{ads}:2", f"{ads}:3"]
    assert output.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_nothing_but_bad_ads_is_a_failure(pipeline, tmp_path):
    (tmp_path / "a.jsonl").write_text("no json", encoding="utf8")
    result = run(tmp_path / "a.jsonl", "-p", pipeline)
    assert result.exit_code == command.FAILED and "line 1" in result.output


def test_settings_reach_the_ranker(pipeline, ads):
    def skills(*args):
        result = run(ads, "-p", pipeline, *args)
        lines = map(json.loads, result.stdout.splitlines())
        return [len(line["skills"]) for line in lines]

    assert skills("--top-k", 3)[0] == 3
    assert skills("--threshold", 1.0) == [0, 0, 0]
    refused = run(ads, "-p", pipeline, "--precision", 0.8)
    assert refused.exit_code == 1 and "S901" in refused.output


@pytest.mark.parametrize(
    "arguments,code,message",
    [
        (["missing.txt"], 1, "S301"),
        (["{ads}", "-o", "skills.xlsx"], 1, "S908"),
        (["{ads}", "-o", "{ads}"], 1, "S910"),
        (["{ads}", "-p", "no-such-pipeline"], 1, "E050"),
        (["{ads}", "--threshold", "2"], 2, "threshold"),
    ],
)
def test_wrong_calls(pipeline, ads, arguments, code, message):
    arguments = [part.format(ads=ads) for part in arguments]
    result = run("-p", pipeline, *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert len(ads.read_text(encoding="utf8").splitlines()) == 3


def test_stdout_holds_the_records_alone(pipeline, ads):
    result = run(ads, "-p", pipeline)
    for line in io.StringIO(result.stdout):
        assert set(json.loads(line)) == {"source", "text", "skills"}
