import os

import pytest
import spacy
import srsly
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.growth import write_distinct

# The last one is a near-duplicate of the first.
SENTENCES = [
    "You bake bread.",
    "Drive trucks for us.",
    "Lay cables.",
    "you Bake bread!",
]


@pytest.fixture
def call(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path / "pipeline")
    table = "count\tsentence\n" + "".join(f"1\t{s}\n" for s in SENTENCES)
    (tmp_path / "ads.tsv").write_text(table)

    def call(*options: str):
        paths = [str(tmp_path / name) for name in ("pipeline", "ads.tsv")]
        output = ["--output", str(tmp_path / "growth.json"), "--text-field", "sentence"]
        return CliRunner().invoke(skills_cli, ["growth", *paths, *output, *options])

    return call


def test_growth_measures_what_is_left_up_to_all_sentences(call, tmp_path):
    output, plot = tmp_path / "growth.json", tmp_path / "growth.png"
    result = call("--size", "2")
    assert result.exit_code == 0, result.output
    saved = srsly.read_json(output)
    annotating, labelling = saved["rows"]
    assert (annotating["task"], annotating["sentences"]) == ("annotating", 2)
    assert (labelling["task"], labelling["sentences"]) == ("labelling", 2)
    assert min(annotating["seconds"], labelling["seconds"]) > 0
    for row in annotating, labelling:
        # More than Python alone, and less than would be lost to two sentences.
        assert 50 < row["megabytes_before"] <= row["peak_megabytes"] + 1
        assert row["peak_megabytes"] < row["megabytes_before"] + 500
    # As if interrupted between the two; and a size that took all sentences there are.
    all_there_are = [{**row, "size": 50, "sentences": 3} for row in saved["rows"]]
    srsly.write_json(output, {**saved, "rows": [annotating, *all_there_are]})
    result = call("--size", "100", "--size", "2", "--size", "50", "--plot", str(plot))
    assert result.exit_code == 0, result.output
    *kept, last = srsly.read_json(output)["rows"]
    assert kept == [annotating, *all_there_are]
    assert (last["task"], last["size"]) == ("labelling", 2)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_near_duplicates_are_left_out(call, tmp_path):
    for n, expected in ((2, 2), (50, 3)):
        target = tmp_path / "sentences.jsonl"
        assert write_distinct(tmp_path / "ads.tsv", target, n, "sentence") == expected
        found = [row["text"] for row in srsly.read_jsonl(target)]
        assert found == SENTENCES[:expected]


def test_results_of_something_else_stay(call, tmp_path):
    output = tmp_path / "growth.json"
    for content in (b"{}", b"[1", b'{"settings": {"pipeline": "x"}, "rows": []}'):
        output.write_bytes(content)
        result = call("--size", "2")
        assert result.exit_code == 1
        assert "S917" in result.output
        assert output.read_bytes() == content


def test_what_goes_wrong_in_the_other_process_is_said(call, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    result = call("--size", "2")
    assert result.exit_code == 1
    assert "S408" in result.output
    (tmp_path / "ads.tsv").write_text("sentence\n")
    assert "S914" in call("--size", "2").output
    os.remove(tmp_path / "ads.tsv")
    assert "ads.tsv" in call("--size", "2").output
