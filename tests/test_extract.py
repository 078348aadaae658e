"""``spacy skills extract``: every ad once, whatever happens."""

import csv
import gzip
import io
import json
import os

import pytest
import srsly
from spacy.language import Language
from test_damaged import full_disk
from typer.testing import CliRunner

from spacy_skills.cli import extract as command
from spacy_skills.cli import skills_cli
from spacy_skills.extraction import Journal, read_records
from spacy_skills.lines import MAX_MARKDOWN
from spacy_skills.tables import write_records

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


def test_what_utf8_cannot_hold_ends_no_run(pipeline, tmp_path):
    for name in (b"b\xff.jsonl", b"b\xfe.jsonl"):
        path = tmp_path / "ads" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"text": "Bake \\ud83d bread"}\n{"text": "SQL"}\n')
    output = tmp_path / "skills.jsonl"
    result = run(tmp_path / "ads", "-o", output, "-p", pipeline)
    assert result.exit_code == 0, result.output
    records = list(read_records(output))
    assert [record["text"] for record in records] == ["Bake ? bread", "SQL"] * 2
    assert len({record["source"] for record in records}) == 4


def test_each_ad_once_and_no_output_as_ads(pipeline, ads, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    ads = ads.rename(folder / ads.name)
    output = folder / "skills.jsonl"
    twice = [folder, ads, folder / ".." / "folder" / ads.name]
    for _ in range(2):
        result = run(*twice, "-o", output, "-p", pipeline, "--overwrite")
        assert result.exit_code == 0, result.output
        assert [record["text"] for record in read_records(output)] == ADS
    ads.unlink()
    result = run(folder, "-o", output, "-p", pipeline, "--overwrite")
    assert result.exit_code == command.FAILED and "S913" in result.output
    assert [record["text"] for record in read_records(output)] == ADS


def test_all_paths_are_looked_at_before_an_ad_is_read(pipeline, ads, tmp_path):
    output = tmp_path / "skills.jsonl"
    result = run(ads, tmp_path / "mistyped.txt", "-o", output, "-p", pipeline)
    assert result.exit_code == command.FAILED and "S301" in result.output
    assert run(ads, "-o", output, "-p", pipeline).exit_code == 0


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


@pytest.fixture
def seen(monkeypatch):
    """The sources of the ads that are annotated; an interruption after the first while
    seen.stop is true."""

    class Seen(list):
        stop = False

    seen = Seen()
    real = command.extract_skills

    def watched(nlp, ads, **kwargs):
        for record in real(nlp, ads, **kwargs):
            seen.append(record["source"])
            yield record
            if seen.stop:
                raise KeyboardInterrupt

    monkeypatch.setattr(command, "extract_skills", watched)
    return seen


def interrupt(seen, *args, **kwargs):
    """Run the command, which is stopped after one ad."""
    seen.stop = True
    result = run(*args, **kwargs)
    assert result.exit_code == command.INTERRUPTED
    seen.stop = False
    seen.clear()
    return result


def test_an_interrupted_run_goes_on(pipeline, ads, tmp_path, seen):
    output = tmp_path / "skills.jsonl"
    whole = tmp_path / "whole.jsonl"
    run(ads, "-o", whole, "-p", pipeline)
    # No float that JSON writers shorten.
    call = [ads, "-o", output, "-p", pipeline, "--threshold", "0.00333333333333333333"]
    result = interrupt(seen, *call)
    assert "same command again" in result.output and not output.exists()
    journal = tmp_path / "skills.jsonl.unfinished"
    # As a kill in the middle of a line leaves it.
    with journal.open("ab") as file:
        file.write(b'{"source": "x')
    other = run(*call, "--top-k", 2)
    assert other.exit_code == 1 and "S905" in other.output
    assert run(*call).exit_code == 0
    assert seen == [f"{ads}:2", f"{ads}:3"]
    assert output.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_an_interrupted_run_that_replaces_a_file_goes_on(pipeline, ads, tmp_path, seen):
    output = tmp_path / "skills.jsonl"
    run(ads, "-o", output, "-p", pipeline)
    for flags in (["--overwrite"], []):
        interrupt(seen, ads, "-o", output, "-p", pipeline, "--overwrite")
        assert run(ads, "-o", output, "-p", pipeline, *flags).exit_code == 0
        assert seen == [f"{ads}:2", f"{ads}:3"]
    result = run(ads, "-o", output, "-p", pipeline)
    assert result.exit_code == command.FAILED and "S910" in result.output


def test_a_run_does_not_go_on_with_other_ads(pipeline, ads, tmp_path, seen):
    output = tmp_path / "skills.jsonl"
    call = [ads, "-o", output, "-p", pipeline]
    interrupt(seen, *call)
    srsly.write_jsonl(ads, [{"text": "Drive trucks"}, {"text": "SQL"}])
    result = run(*call)
    assert result.exit_code == command.FAILED and "S905" in result.output
    assert run(*call, "--overwrite").exit_code == 0
    assert [r["text"] for r in read_records(output)] == ["Drive trucks", "SQL"]


def test_what_comes_from_stdin_is_not_gone_on_with(pipeline, ads, tmp_path, seen):
    output = tmp_path / "skills.jsonl"
    call = ["-", "-o", output, "-p", pipeline, "--stdin-format", "jsonl"]
    result = interrupt(seen, *call, input=ads.read_text(encoding="utf8"))
    assert "again" not in result.output
    result = run(*call, input='{"text": "SQL"}')
    assert result.exit_code == command.FAILED and "S905" in result.output
    assert run(*call, "--overwrite", input='{"text": "SQL"}').exit_code == 0
    assert [record["text"] for record in read_records(output)] == ["SQL"]
    result = interrupt(seen, ads, "-p", pipeline)
    assert "again" not in result.output


def test_a_full_disk_is_named_and_the_run_goes_on(tmp_path):
    path = tmp_path / "skills.jsonl.unfinished"
    record = {"text": "a" * 3000, "skills": []}
    with (
        full_disk(10_000),
        pytest.raises(OSError, match="S024.*unfinished.*Free"),
        Journal(path, {}) as journal,
    ):
        for source in "abcd":
            journal.add({"source": source, **record})
    with Journal(path, {}) as journal:
        assert journal.done == {"a", "b", "c"}


def test_a_damaged_journal_is_named(pipeline, ads, tmp_path, seen):
    call = [ads, "-o", tmp_path / "skills.jsonl", "-p", pipeline]
    interrupt(seen, *call)
    with (tmp_path / "skills.jsonl.unfinished").open("ab") as file:
        file.write(b"{}\n")
    result = run(*call)
    assert result.exit_code == command.FAILED
    assert "S906" in result.output and "line 3" in result.output


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    evidence = {"start": 0, "end": 4, "text": "@SUM", "score": 0.9, "evidence": "name"}
    skill = {
        "uri": "u",
        "name": "=1+2",
        "score": 0.9,
        "type": "-a",
        "evidence": [evidence],
    }
    skill |= {"reuse_level": "+b", "groups": [], "instead_of": []}
    record = {"source": "\tad", "text": "@SUM", "skills": [skill]}
    write_records(tmp_path / "s.csv", [record])
    with open(tmp_path / "s.csv", encoding="utf8", newline="") as file:
        (row,) = csv.DictReader(file)
    cells = [row[k] for k in ("source", "name", "type", "reuse_level", "evidence")]
    assert cells == ["'\tad", "'=1+2", "'-a", "'+b", "'@SUM"]
    assert row["uri"] == "u" and row["score"] == "0.9"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_markdown_has_its_limit_whatever_the_file_is_called(pipeline, tmp_path, name):
    small, large = "# Bake bread", "# Bake bread\n" * (MAX_MARKDOWN // 13 + 1)
    path = tmp_path / "ads" / name
    path.parent.mkdir()
    (path.parent / "b.txt").write_text(small)
    if name == "a.txt":
        path.write_text(large)
    else:
        srsly.write_jsonl(path, [{"text": large}])
    result = run(path.parent, "-p", pipeline, "--markup", "markdown")
    assert result.exit_code == command.SKIPPED
    assert "S907" in result.output and f"{name}:1" in result.output
    assert "Markdown" in result.output
    assert json.loads(result.stdout)["text"] == "Bake bread"


def test_no_record_is_too_long_to_be_read_again(pipeline, ads, tmp_path, monkeypatch):
    for place in ("extraction", "lines"):
        monkeypatch.setattr(f"spacy_skills.{place}.MAX_LINE", 600)
    srsly.write_jsonl(ads, [{"text": "SQL"}, {"text": "Bake bread.\n" * 9}])
    output = tmp_path / "skills.jsonl"
    result = run(ads, "-o", output, "-p", pipeline)
    assert result.exit_code == command.SKIPPED, result.output
    assert "S907" in result.output and "ads.jsonl:2" in result.output
    assert [record["text"] for record in read_records(output)] == ["SQL"]


def test_a_run_of_very_many_files_can_go_on(pipeline, tmp_path, seen):
    folder = tmp_path / "ads"
    folder.mkdir()
    for i in range(200):
        (folder / f"{i}.txt").write_text("SQL")
    interrupt(seen, folder, "-o", tmp_path / "skills.jsonl", "-p", pipeline)
    with (tmp_path / "skills.jsonl.unfinished").open("rb") as file:
        assert len(file.readline()) < 1000


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
        (["{ads}", "-o", "{ads}"], 1, "S911"),
        (["{ads}", "-o", "{ads}", "--overwrite"], 1, "S911"),
        (["{ads}", "--threshold", "0.5", "--precision", "0.8"], 2, "S912"),
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
