"""What runs write for later runs to go on with: caches, checkpoints, results so far."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy
import spacy
import srsly
from conftest import SKILLS
from fuzz.mutations import mutate_bytes

from spacy_skills import fine_tuning
from spacy_skills.cli.benchmark import read_counts
from spacy_skills.compare.design import Run
from spacy_skills.compare.results import Results
from spacy_skills.corpus import build_corpus
from spacy_skills.extraction import Journal
from spacy_skills.fine_tuning import TextModel, fine_tune
from spacy_skills.neighbours import NeighbourTable, sibling_table
from spacy_skills.taxonomy import Taxonomy
from spacy_skills.vectors import VectorCache

Reader = Callable[[bytes, int], object]
SETTINGS = {"threshold": 0.5}
TEXTS = ["bread", "pastry", "dough"]


def journal(folder: Path, records: list[dict[str, Any]]) -> tuple[Reader, bytes]:
    path = folder / "skills.jsonl.unfinished"
    with Journal(path, SETTINGS) as begun:
        for record in records:
            begun.add(record)  # type: ignore[arg-type]

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        with Journal(path, SETTINGS) as again:
            return list(again.records())

    return read, path.read_bytes()


def results(folder: Path) -> tuple[Reader, bytes]:
    path = folder / "results.jsonl"
    digests = {("package", "random"): "digest"}
    runs = [Run("package", "random", 1.0, 2.0, (), seed) for seed in range(2)]
    begun = Results(path, digests)
    for run in runs:
        begun.add(run, {"house": numpy.full((3, 4), 0.25)}, seconds=1.5)

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        again = Results(path, digests)
        return [again.scores(run) for run in runs if again.get(run) is not None]

    return read, path.read_bytes()


def counts(folder: Path) -> tuple[Reader, bytes]:
    path = folder / "labels.json"

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        return read_counts(path)

    return read, json.dumps({"u/bread": 3, "u/sql": 1}).encode()


def progress(folder: Path, taxonomy: Taxonomy) -> tuple[Reader, bytes]:
    """Of a corpus, as it is after the last shard."""
    ads, output = folder / "ads.tsv", folder / "corpus"
    names = [name for name, _, _ in SKILLS.values()]
    lines = [f"You {name} in house {i}" for i, name in enumerate(names)]
    ads.write_text("\n".join(["text", *lines]), encoding="utf8")
    nlp = spacy.blank("en")
    nlp.add_pipe("esco_matcher").initialize(nlp=nlp, taxonomy=taxonomy)  # type: ignore[attr-defined]
    path = output / "progress.json"

    def build() -> object:
        return build_corpus(ads, output, nlp, n_process=1)

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        return build()

    build()
    # Indented, and JSON is changed a line at a time.
    return read, srsly.json_dumps(srsly.read_json(path)).encode()


def neighbours(folder: Path, taxonomy: Taxonomy) -> tuple[Reader, bytes]:
    path = folder / "siblings.npz"

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        table = NeighbourTable.from_disk(path)
        found = [table.of(row) for row in range(len(table.ends))]
        for rows, weights in found:
            assert len(rows) == len(weights)
            assert all(0 <= row < len(table.ends) for row in rows)
        return found

    return read, sibling_table(taxonomy).to_bytes()


def mutate_npz(rng: Random, data: bytes, others: list[bytes]) -> bytes:
    """One of its arrays, below the sums that would give the change away."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(arrays))
    arrays[name] = mutate_bytes(rng, arrays[name], list(arrays.values()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return file.getvalue()


def vectors(folder: Path) -> tuple[Reader, bytes]:
    begun = VectorCache(4, folder / "cache", "encoder")
    begun.add(TEXTS, numpy.ones((3, 4), dtype="float32"))
    (inner,) = (folder / "cache").iterdir()
    files = {path: path.read_bytes() for path in sorted(inner.iterdir())}

    def read(data: bytes, number: int) -> object:
        for path, content in files.items():
            path.write_bytes(content)
        list(files)[number % 2].write_bytes(data)
        again = VectorCache(4, folder / "cache", "encoder")
        return again.take([row for row in again.rows(TEXTS) if row >= 0])

    return read, files[inner / "vectors.bin"]


def checkpoint(folder: Path, encoder: str) -> tuple[Reader, bytes]:
    model = TextModel.from_pretrained(encoder, "cpu")
    path = folder / "checkpoint.pt"
    first = {k: v.clone() for k, v in model.transformer.state_dict().items()}

    def train(save: Callable[[], object]) -> list[float]:
        model.transformer.load_state_dict(first)
        return fine_tune(
            model,
            lambda step: model(["bread"]).sum(),
            2,
            folder,
            save,
            learn_rate=1e-3,
            share=0.5,
            seed=0,
            settings=(),
        )

    def fail() -> None:
        raise InterruptedError

    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        return train(list)

    with patch.object(fine_tuning, "CHECKPOINT_EVERY", 1):
        try:
            train(fail)
        except InterruptedError:
            pass
    return read, path.read_bytes()
