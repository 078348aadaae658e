import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Event, Thread

import pytest
import spacy
import srsly
from typer.testing import CliRunner

from spacy_skills import forking
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
    # As if interrupted between the two tasks of a size that takes all sentences there are.
    result = call("--size", "50", "--task", "annotating")
    assert result.exit_code == 0, result.output
    saved = srsly.read_json(output)
    result = call("--size", "100", "--size", "50", "--plot", str(plot))
    assert result.exit_code == 0, result.output
    annotating, labelling = srsly.read_json(output)["rows"]
    assert [annotating] == saved["rows"]
    for row, task in (annotating, "annotating"), (labelling, "labelling"):
        assert (row["task"], row["size"], row["sentences"]) == (task, 50, 3)
        assert row["seconds"] > 0
        # More than Python alone, and less than would be lost to three sentences.
        assert 50 < row["megabytes_before"] <= row["peak_megabytes"] + 1
        assert row["peak_megabytes"] < row["megabytes_before"] + 500
    assert plot.read_bytes().startswith(b"\x89PNG")
    # What can't be drawn is said, not raised.
    result = call("--size", "50", "--plot", str(output / "plot.png"))
    assert result.exit_code == 1 and "growth.json" in result.output
    assert isinstance(result.exception, SystemExit)
    assert "S917" in call("--size", "50", "--text-field", "count").output
    # Nor is what is read or saved replaced by a figure.
    for path in (tmp_path / "ads.tsv", output):
        before = path.read_bytes()
        assert "S919" in call("--size", "50", "--plot", str(path)).output
        assert path.read_bytes() == before
    # A row that is damaged is named.
    saved = srsly.read_json(output)
    for row in (
        {"task": "annotating", "size": 1},
        3,
        {**saved["rows"][0], "size": "x"},
    ):
        srsly.write_json(output, {**saved, "rows": [row]})
        assert "S917" in call("--size", "50").output


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


def test_an_interruption_does_not_wait_for_the_other_process(call, tmp_path):
    # Whoever reads it waits until it is closed by all who write.
    pipe = tmp_path / "pipeline" / "vocab" / "strings.json"
    pipe.unlink()
    os.mkfifo(pipe)
    ended, waited_for = Event(), []

    def interrupt():
        writer = None
        while writer is None:
            time.sleep(0.05)
            # Can't be opened before the other process reads it.
            with suppress(OSError):
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.kill(os.getpid(), signal.SIGINT)
        if not ended.wait(timeout=20):
            waited_for.append(True)
        os.close(writer)

    thread = Thread(target=interrupt, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        result = call("--size", "2")
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before)
    assert "goes on" in result.output and not waited_for
    assert not multiprocessing.active_children()


def test_commands_are_there_where_memory_is_not_counted():
    # As on Windows.
    code = "import sys; sys.modules['resource'] = None; import spacy_skills.cli"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encoders_are_there_where_processes_are_not_forked(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    importlib.reload(forking)


def test_what_goes_wrong_in_the_other_process_is_said(call, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    result = call("--size", "2")
    assert result.exit_code == 1
    assert "S408" in result.output
    (tmp_path / "ads.tsv").write_text("sentence\n")
    assert "S914" in call("--size", "2").output
    os.remove(tmp_path / "ads.tsv")
    assert "ads.tsv" in call("--size", "2").output
