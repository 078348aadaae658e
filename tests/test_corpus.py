import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_skills.cli  # noqa: F401
from spacy_skills import labelling
from spacy_skills.corpus import build_corpus
from spacy_skills.readers import DistantCorpus

THINGS = ["bread", "cables", "trucks", "guests", "roses", "walls", "boats", "cheese"]
WORK = ["We bake bread", "Knows SQL", "You drive trucks", "You smile", "Free lunch"]


@pytest.fixture
def nlp(taxonomy):
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_matcher").initialize(nlp=nlp, taxonomy=taxonomy)
    return nlp


@pytest.fixture
def ads_path(tmp_path):
    """1,500 different sentences, a third of which names no skill, and some repeats."""
    rng = random.Random(0)
    path = tmp_path / "ads.jsonl"
    with path.open("w", encoding="utf8") as file:
        for n in range(300):
            letters = "".join(rng.choices("abcdefgh", k=9))
            lines = [f"• {work} at {letters}" for work in WORK]
            text = "\n".join([*lines, "We bake bread daily!", f"{n} times"])
            file.write(json.dumps({"text": text}) + "\n")
    return path


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(labelling, "CHUNK", 100)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "progress.json"
    }


def read_docs(nlp, folder):
    for shard in sorted(folder.glob("*.spacy")):
        yield from DocBin().from_disk(shard).get_docs(nlp.vocab)


def test_corpus_has_matched_sentences_and_counts(nlp, ads_path, tmp_path, taxonomy):
    out = tmp_path / "corpus"
    report = build_corpus(ads_path, out, nlp, n_process=1, dev_share=0.1)
    # "n times" and "We bake bread daily!" are each the same 300 times.
    assert report["sentences_read"] == 300 * 7
    assert report["near_duplicates"] == 2 * 299
    assert report["matched"] == 901 == report["train"] + report["dev"]
    assert report["pairs"] == 901
    assert 50 < report["dev"] < 140
    assert report["skills_with_at_least"]["1"] == 3
    assert report["skills"] == len(taxonomy)
    assert report == json.loads((out / "report.json").read_text(encoding="utf8"))
    counts = json.loads((out / "labels.json").read_text(encoding="utf8"))
    assert sum(counts.values()) == report["train"]
    assert list(counts) == [uri for uri in taxonomy.uris if uri in counts]

    docs = list(read_docs(nlp, out / "train"))
    assert len(docs) == report["train"]
    named = {}
    for doc in docs:
        (span,) = doc.spans["esco_matches"]
        named[span.kb_id_] = named.get(span.kb_id_, 0) + 1
        assert taxonomy[span.kb_id_].name == span.label_
        assert not doc.text.startswith("•")
    assert named == counts
    both = {doc.text for doc in docs} & {d.text for d in read_docs(nlp, out / "dev")}
    assert not both


def test_reader_takes_what_the_corpus_writes(nlp, ads_path, tmp_path):
    report = build_corpus(ads_path, tmp_path / "corpus", nlp, n_process=1)
    examples = DistantCorpus(tmp_path / "corpus" / "train", remove_mention=0.5)(nlp)
    assert len(list(examples)) == report["train"]


def test_processes_and_repetition_change_nothing(nlp, ads_path, tmp_path, small_chunks):
    one, two = tmp_path / "one", tmp_path / "two"
    build_corpus(ads_path, one, nlp, n_process=1, shard_size=200)
    build_corpus(ads_path, two, nlp, n_process=2, shard_size=200)
    assert len(list((one / "train").iterdir())) > 3
    assert contents(one) == contents(two)
    times = {path: path.stat().st_mtime_ns for path in one.rglob("*.*")}
    assert build_corpus(ads_path, one, nlp, shard_size=200)["matched"] == 901
    assert times == {path: path.stat().st_mtime_ns for path in one.rglob("*.*")}


class Stop(Exception):
    pass


def test_interrupted_build_goes_on(nlp, ads_path, tmp_path, small_chunks, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    build_corpus(ads_path, whole, nlp, n_process=1, shard_size=200)

    pipe = nlp.pipe
    calls = 0

    def stop_at_ninth(texts, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 9:
            raise Stop
        return pipe(texts, **kwargs)

    monkeypatch.setattr(nlp, "pipe", stop_at_ninth)
    with pytest.raises(Stop):
        build_corpus(ads_path, parts, nlp, n_process=1, shard_size=200)
    done = contents(parts)
    assert done and "report.json" not in done
    build_corpus(ads_path, parts, nlp, n_process=1, shard_size=200)
    assert calls < 9 + 16
    assert contents(parts) == contents(whole)


SCRIPT = """
import sys, spacy
from spacy_skills import corpus, labelling
from spacy_skills.taxonomy import Taxonomy

if __name__ == "__main__":
    labelling.CHUNK = 100
    nlp = spacy.blank("en")
    matcher = nlp.add_pipe("esco_matcher")
    matcher.initialize(nlp=nlp, taxonomy=Taxonomy.from_disk(sys.argv[1]))
    corpus.build_corpus(*sys.argv[2:], nlp, shard_size=100)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill")
def test_killed_build_goes_on(nlp, ads_path, tmp_path, small_chunks, taxonomy_path):
    script = tmp_path / "build.py"
    script.write_text(SCRIPT)
    parts = tmp_path / "parts"
    args = [sys.executable, script, taxonomy_path, ads_path, parts]
    process = subprocess.Popen(list(map(str, args)))
    deadline = time.monotonic() + 60
    while not (parts / "progress.json").exists() and time.monotonic() < deadline:
        assert process.poll() in (None, 0)
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    build_corpus(ads_path, parts, nlp, shard_size=100)
    whole = tmp_path / "whole"
    build_corpus(ads_path, whole, nlp, shard_size=100)
    assert contents(parts) == contents(whole)


def test_other_settings_need_overwrite(nlp, ads_path, tmp_path):
    out = tmp_path / "corpus"
    build_corpus(ads_path, out, nlp, n_process=1, shard_size=100)
    with pytest.raises(ValueError, match=r"other settings \(dev_share\)"):
        build_corpus(ads_path, out, nlp, n_process=1, shard_size=100, dev_share=0.5)
    kept = out / "notes.txt"
    kept.write_text("mine")
    build_corpus(
        ads_path, out, nlp, n_process=1, shard_size=2000, dev_share=0.5, overwrite=True
    )
    assert kept.exists()
    assert len(list((out / "train").iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        '{"settings": {',
        "[]",
        '{"settings": {}, "shards": "two"}',
        "[" * 10**5,
        "\0" * 9,
    ],
)
def test_damaged_progress_is_named(nlp, ads_path, tmp_path, damage):
    out = tmp_path / "corpus"
    report = build_corpus(ads_path, out, nlp, n_process=1)
    (out / "progress.json").write_text(damage)
    with pytest.raises(ValueError, match=r"S326.*progress\.json"):
        build_corpus(ads_path, out, nlp, n_process=1)
    assert build_corpus(ads_path, out, nlp, n_process=1, overwrite=True) == report
    (out / "report.json").write_text("{" + damage)
    with pytest.raises(ValueError, match=r"S3(04|20).*report\.json"):
        build_corpus(ads_path, out, nlp, n_process=1)


@pytest.mark.parametrize(
    "change", [{"n_docs": {"dev": 1}}, {"sentences": 10**30}, {"pairs": -1}]
)
def test_progress_that_can_not_be_is_named(nlp, ads_path, tmp_path, change):
    out = tmp_path / "corpus"
    build_corpus(ads_path, out, nlp, n_process=1)
    path = out / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"S326.*progress\.json"):
        build_corpus(ads_path, out, nlp, n_process=1)


def test_a_corpus_can_be_moved_but_not_by_its_progress(nlp, ads_path, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    report = build_corpus(ads_path, here, nlp, n_process=1)
    progress = json.loads((here / "progress.json").read_text())
    for name in ("report.json", "labels.json"):
        (here / name).unlink()
    elsewhere = {**progress, "done": False, "path": str(there)}
    (here / "progress.json").write_text(json.dumps(elsewhere))
    assert build_corpus(ads_path, here, nlp, n_process=1) == report
    assert (here / "report.json").exists() and not there.exists()


def test_foreign_folder_is_left_alone(nlp, ads_path, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        build_corpus(ads_path, tmp_path, nlp, n_process=1)


@pytest.mark.parametrize("text", ["Nothing here", "🎉", " ", "word " * 200_000])
def test_corpus_without_a_match_writes_nothing(nlp, tmp_path, text):
    (tmp_path / "ad.txt").write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match="None of the .* names a skill"):
        build_corpus(tmp_path / "ad.txt", tmp_path / "corpus", nlp, n_process=1)
    assert not (tmp_path / "corpus").exists()


def test_bad_calls(nlp, ads_path, tmp_path):
    out = tmp_path / "corpus"
    with pytest.raises(ValueError, match="no 'esco_matcher'"):
        build_corpus(ads_path, out, spacy.blank("en"))
    with pytest.raises(ValueError, match="dev_share has to be"):
        build_corpus(ads_path, out, nlp, dev_share=1.0)
    with pytest.raises(ValueError, match="shard_size has to be"):
        build_corpus(ads_path, out, nlp, shard_size=0)
    with pytest.raises(ValueError, match="no text under 'body'"):
        build_corpus(ads_path, out, nlp, text_field="body")
    assert not out.exists()


def run_cli(*args):
    return CliRunner().invoke(app, ["skills", "corpus", *map(str, args)])


def test_command_line(ads_path, taxonomy_path, tmp_path):
    out = tmp_path / "corpus"
    done = run_cli(ads_path, taxonomy_path, out, "--n-process", 1)
    assert done.exit_code == 0, done.output
    assert "Sentences with a skill" in done.output
    assert "bake bread" in done.output
    assert (out / "labels.json").exists()


@pytest.mark.parametrize(
    "ads, option, expected",
    [
        ("no.csv", (), "Can't find the job ads"),
        ("ads.jsonl", ("--text-field", "body"), "no text under 'body'"),
        ("ads.jsonl", ("--drop-names", "no.jsonl"), "no.jsonl"),
        ("ads.jsonl", ("--language", "tlh"), "Can't import language tlh"),
        ("ads.jsonl", ("--language", "bg"), "no lemma table for the language 'bg'"),
    ],
)
def test_command_line_fails_with_a_message(
    ads_path, taxonomy_path, tmp_path, ads, option, expected
):
    failed = run_cli(tmp_path / ads, taxonomy_path, tmp_path / "corpus", *option)
    assert failed.exit_code == 1
    assert isinstance(failed.exception, SystemExit)
    assert expected in failed.output
    assert not (tmp_path / "corpus").exists()
