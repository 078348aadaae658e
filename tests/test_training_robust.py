"""Trainings that are killed, interrupted or run out of disk lose nothing that was saved."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from conftest import SKILLS, uri
from spacy.cli.train import train
from spacy.util import registry
from test_damaged import full_disk
from test_training import corpus, overrides, with_encoder  # noqa: F401
from typer.testing import CliRunner

from spacy_skills import contrastive, fine_tuning
from spacy_skills.cli import skills_cli
from spacy_skills.compare.design import Run
from spacy_skills.compare.results import Results
from spacy_skills.contrastive import Settings, train_encoder
from spacy_skills.corpus import build_corpus
from spacy_skills.vectors import VectorCache

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def config(overrides, tiny_encoder, tmp_path):  # noqa: F811
    """A training with a checkpoint after each of its steps."""
    overrides["training.eval_frequency"] = 1
    return with_encoder("frozen.cfg", tiny_encoder, tmp_path), overrides


@pytest.fixture
def one_thread():
    """A forked process has no more; the sums of several are others in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def killed(action: Callable[[], object], folder: Path, at: int) -> bool:
    """Run in a process of its own that kills itself at the at-th time that it opens, renames
    or copies something in the folder; whether it did."""

    def hook(event, args, seen=[]):  # noqa: B006
        if event in {"open", "os.rename", "shutil.copytree", "shutil.rmtree"}:
            if str(args[0]).startswith(str(folder)):
                seen.append(event)
                if len(seen) == at:
                    os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            sys.addaudithook(hook)
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def checkpoints(output: Path) -> list[str]:
    """Those that can be loaded and work; of others the error is one that names the cause."""
    whole = []
    for name in ("model-best", "model-last"):
        try:
            nlp = spacy.load(output / name)
            assert len(nlp("You bake bread.").spans["esco_skills"]) >= 0
            whole.append(name)
        except (ValueError, OSError):
            pass
    return whole


@needs_fork
@pytest.mark.parametrize("at", [75, 110])
def test_a_killed_training_leaves_a_whole_checkpoint(config, tmp_path, at):
    path, settings = config
    output = tmp_path / "out"
    assert killed(lambda: train(path, output, overrides=settings), output, at)
    assert checkpoints(output)


def test_an_interrupted_training_keeps_its_last_checkpoint(config, tmp_path):
    path, settings = config
    steps = []

    def interrupt(nlp, step):
        steps.append(step)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)

    registry.callbacks("interrupt.v1", func=lambda: interrupt)
    settings["training.before_update"] = {"@callbacks": "interrupt.v1"}
    with pytest.raises(KeyboardInterrupt):
        train(path, tmp_path / "out", overrides=settings)
    assert checkpoints(tmp_path / "out") == ["model-best", "model-last"]


def test_a_full_disk_in_training_leaves_a_whole_checkpoint(config, tmp_path):
    path, settings = config
    with ExitStack() as disk:

        def fill_disk(nlp, step):
            if step["step"] == 2:
                disk.enter_context(full_disk(20_000))

        registry.callbacks("full_disk.v1", func=lambda: fill_disk)
        settings["training.before_update"] = {"@callbacks": "full_disk.v1"}
        with pytest.raises(OSError, match="File too large"):
            train(path, tmp_path / "out", overrides=settings)
    assert "model-best" in checkpoints(tmp_path / "out")


def test_a_damaged_shard_among_good_ones_is_named(config, corpus, tmp_path):  # noqa: F811
    path, settings = config
    (tmp_path / "train").mkdir()
    (shard,) = (corpus / "train").glob("*.spacy")
    data = shard.read_bytes()
    for i in range(4):
        content = data[: len(data) // 2] if i == 2 else data
        (tmp_path / "train" / f"{i:05d}.spacy").write_bytes(content)
    settings["paths.train"] = str(tmp_path / "train")
    with pytest.raises(ValueError, match=r"S323.*00002\.spacy.*damaged"):
        train(path, tmp_path / "out", overrides=settings)


@pytest.fixture
def matcher(taxonomy):
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_matcher").initialize(nlp=nlp, taxonomy=taxonomy)
    return nlp


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_corpus_build_goes_on_when_there_is_space_again(
    matcher, taxonomy_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("spacy_skills.labelling.CHUNK", 50)
    names = [name for name, _, _ in SKILLS.values()]
    # Ads grow longer and longer, and with them the shards.
    lines = [
        f"You {name} {'and so on ' * (i // 20)}{i}" for i in range(40) for name in names
    ]
    lines = [
        f"{line} {'abcdefghij'[i % 10]} {chr(97 + i % 26)}"
        for i, line in enumerate(lines)
    ]
    ads = tmp_path / "ads.tsv"
    ads.write_text("\n".join(["text", *lines]), encoding="utf8")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    build_corpus(ads, whole, matcher, n_process=1, shard_size=100)
    sizes = [path.stat().st_size for path in sorted((whole / "train").iterdir())]
    assert len(sizes) > 2 and max(sizes) > sizes[0]
    with (
        full_disk(max(sizes) - 1),
        pytest.raises(OSError, match=r"S024.*\.spacy.*Free"),
    ):
        build_corpus(ads, parts, matcher, n_process=1, shard_size=100)
    done = contents(parts)
    assert done and "report.json" not in done
    build_corpus(ads, parts, matcher, n_process=1, shard_size=100)
    assert contents(parts) == contents(whole)
    with full_disk(10):
        args = ["corpus", str(ads), str(taxonomy_path), str(tmp_path / "third")]
        result = CliRunner().invoke(skills_cli, [*args, "--n-process", "1"])
    assert result.exit_code == 1 and "S024" in result.output


def test_an_encoder_s_training_goes_on_when_there_is_space_again(
    taxonomy, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 2)
    pairs = [(f"{name} {i}", i) for i, (name, _, _) in enumerate(SKILLS.values())]
    settings = Settings(batch_size=5, epochs=3, learn_rate=0.01)

    def run(folder: str) -> list[float]:
        return train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / folder, settings)

    losses = run("a")
    real, calls = contrastive.ranking_loss, []
    with ExitStack() as disk:

        def fill_disk(*args):
            calls.append(args)
            if len(calls) == 4:
                disk.enter_context(full_disk(20_000))
            return real(*args)

        monkeypatch.setattr(contrastive, "ranking_loss", fill_disk)
        with pytest.raises(OSError, match=r"S024.*checkpoint\.pt.*Free some space"):
            run("b")
    monkeypatch.setattr(contrastive, "ranking_loss", real)
    # That of the second step is still there.
    assert (tmp_path / "b" / "checkpoint.pt").exists() and len(calls) == 4
    assert run("b") == losses
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


@needs_fork
# While the second checkpoint is written, and while the encoder is.
@pytest.mark.parametrize("at", [6, 15])
def test_an_encoder_s_training_that_was_killed_goes_on(
    taxonomy, tiny_encoder, tmp_path, monkeypatch, one_thread, at
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 2)
    pairs = [(f"{name} {i}", i) for i, (name, _, _) in enumerate(SKILLS.values())]
    settings = Settings(batch_size=5, epochs=3, learn_rate=0.01)
    steps: list[list[float]] = []

    def run(folder: str) -> list[float]:
        return train_encoder(tiny_encoder, taxonomy, pairs, tmp_path / folder, settings)

    losses = run("a")
    assert killed(lambda: run("b"), tmp_path / "b", at)
    assert (tmp_path / "b" / "checkpoint.pt").exists()
    real = contrastive.ranking_loss
    monkeypatch.setattr(
        contrastive, "ranking_loss", lambda *args: steps.append([]) or real(*args)
    )
    assert run("b") == losses
    assert len(steps) < len(losses)
    whole, resumed = (contents(tmp_path / run) for run in "ab")
    resumed.pop("checkpoint.pt.partial", None)
    assert resumed == whole


def test_an_encoder_that_can_not_be_saved_keeps_its_checkpoint(
    taxonomy_path, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(fine_tuning, "CHECKPOINT_EVERY", 2)
    texts = tmp_path / "texts.tsv"
    rows = [f"{uri(key)}\t{key}\t{name}\n" for key, (name, _, _) in SKILLS.items()]
    texts.write_text("".join(["uri\tskill\ttext\n", *rows]))
    output = tmp_path / "out"
    args = ["encoder", str(taxonomy_path), str(texts), "--output", str(output)]
    args += ["--base", tiny_encoder, "--batch-size", "4"]
    real = fine_tuning.TextModel.save

    def save(self, path):
        with full_disk(20_000):
            real(self, path)

    monkeypatch.setattr(fine_tuning.TextModel, "save", save)
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 1 and "S024" in result.output, result.exception
    assert (output / "checkpoint.pt").exists()
    monkeypatch.setattr(fine_tuning.TextModel, "save", real)
    assert CliRunner().invoke(skills_cli, args).exit_code == 0
    assert not (output / "checkpoint.pt").exists()


def test_results_of_a_comparison_go_on_when_there_is_space_again(tmp_path):
    runs = [Run("package", "random", 1.0, 2.0, (), seed) for seed in range(3)]
    digests = {("package", "random"): "digest"}
    scores = {"one": numpy.full((40, 4), 0.25)}
    path = tmp_path / "results.jsonl"
    results = Results(path, digests)
    results.add(runs[0], scores)
    size = path.stat().st_size
    with (
        full_disk(size + size // 2),
        pytest.raises(OSError, match="S024.*results.jsonl"),
    ):
        results.add(runs[1], scores)
    again = Results(path, digests)
    assert [again.get(run) is not None for run in runs] == [True, False, False]
    for run in runs[1:]:
        again.add(run, scores)
    whole = Results(path, digests)
    assert all((whole.scores(run)["one"] == scores["one"]).all() for run in runs)


def test_cached_vectors_outlive_a_full_disk(tmp_path):
    vectors = numpy.arange(80, dtype="float32").reshape(20, 4)
    texts = [f"text {i}" for i in range(20)]
    VectorCache(4, tmp_path, "encoder").add(texts[:10], vectors[:10])
    with full_disk(200), pytest.raises(OSError, match="S024.*vectors.bin"):
        VectorCache(4, tmp_path, "encoder").add(texts[10:], vectors[10:])
    cache = VectorCache(4, tmp_path, "encoder")
    assert cache.rows(texts) == [*range(10), *[-1] * 10]
    cache.add(texts[10:], vectors[10:])
    again = VectorCache(4, tmp_path, "encoder")
    assert (again.take(again.rows(texts)) == vectors).all()
