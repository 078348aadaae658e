"""Builds the distant corpus: ads' sentences, labelled by the ESCO names in them."""

import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, cast

from pydantic import NonNegativeInt, TypeAdapter
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from tqdm import tqdm

from . import __version__
from .ads import find_ad_files
from .errors import Errors
from .files import write_file
from .lines import read_json
from .matcher import SkillMatcher
from .sentences import NearDuplicates, read_sentences
from .shards import cached_msgpack_hooks, empty_shard
from .taxonomy import Taxonomy

# Sentences sent to a worker at a time.
CHUNK = 2000

PARTS = ("train", "dev", "unlabelled")
MOST_FREQUENT = 30


def build_corpus(
    ads_path: str | Path,
    output_dir: str | Path,
    nlp: Language,
    *,
    text_field: str = "text",
    shard_size: int = 20_000,
    dev_share: float = 0.02,
    unlabelled_share: float = 0.0,
    n_process: int = 2,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Match the sentences of job ads and save those that name a skill; return a report.

    nlp: a pipeline with an initialized `esco_matcher`.
    shard_size: about how many training sentences make a shard.
    dev_share: share of the sentences that go to dev/, chosen by a hash of the sentence.
    unlabelled_share: share of the sentences without a skill that are kept, likewise.

    Writes train/*.spacy, dev/*.spacy and unlabelled/*.spacy (DocBins: one sentence a Doc,
    the matches in its span group), labels.json (URI → training sentences that name the skill) and
    report.json. Near-duplicates are left out. Memory does not grow with the ads, and
    the result does not depend on n_process. An interrupted call, repeated with the
    same settings, goes on after the last shard; one that is done returns its report.

    Raises ValueError for unreadable ads (see `ads.read_ads`), no match at all (S313)
    and an output folder that holds something else (S311, S312, S326); RuntimeError if a
    process was killed (S315).
    """
    if shard_size < 1:
        message = Errors.S316.format(
            name="shard_size", allowed="at least 1", value=shard_size
        )
        raise ValueError(message)
    if not 0.0 <= unlabelled_share <= 1.0:
        message = Errors.S316.format(
            name="unlabelled_share", allowed="from 0 to 1", value=unlabelled_share
        )
        raise ValueError(message)
    if not 0.0 <= dev_share < 1.0:
        message = Errors.S316.format(
            name="dev_share", allowed="at least 0 and below 1", value=dev_share
        )
        raise ValueError(message)
    matcher = _find_matcher(nlp)
    settings = {
        "version": __version__,
        "ads": [[str(f), f.stat().st_size] for f in find_ad_files(Path(ads_path))],
        "text_field": text_field,
        "shard_size": shard_size,
        "dev_share": dev_share,
        "unlabelled_share": unlabelled_share,
        "matcher": _hash((nlp.lang or "").encode("utf8") + matcher.to_bytes()),
    }
    output = _Output.open(Path(output_dir), settings, overwrite)
    if not output.done:
        sentences = _DistinctSentences(ads_path, text_field)
        todo = islice(sentences, output.sentences, None)
        worker = _Worker(nlp, matcher.spans_key, dev_share, unlabelled_share)
        with tqdm(
            desc="Sentences",
            initial=output.sentences,
            unit_scale=True,
            disable=not show_progress,
        ) as progress:
            for labelled in _label(worker, _chunks(todo), n_process):
                progress.update(labelled.sentences)
                output.add(labelled)
        output.finish(sentences, matcher)
    return read_json(output.report_path)


def _find_matcher(nlp: Language) -> SkillMatcher:
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, SkillMatcher):
            return pipe
    raise ValueError(Errors.S314.format(pipes=nlp.pipe_names))


def _hash(value: bytes) -> str:
    return blake2b(value, digest_size=8).hexdigest()


class _DistinctSentences:
    """The sentences of the ads without near-duplicates, counted as they pass."""

    def __init__(self, ads_path: str | Path, text_field: str) -> None:
        self.read = self.duplicates = 0
        self._sentences = read_sentences(ads_path, text_field=text_field)

    def __iter__(self) -> Iterator[str]:
        near_duplicates = NearDuplicates()
        for sentence in self._sentences:
            self.read += 1
            if near_duplicates.seen(sentence):
                self.duplicates += 1
            else:
                yield sentence


def _chunks(sentences: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(sentences, CHUNK)):
        yield chunk


@dataclass
class _Labelled:
    """What a worker made of a chunk: DocBins as bytes, and counts."""

    sentences: int
    docs: dict[str, bytes]
    n_docs: dict[str, int]
    pairs: int
    train_counts: dict[str, int]


class _Worker:
    """Matches a chunk of sentences."""

    def __init__(
        self,
        nlp: Language,
        spans_key: str,
        dev_share: float,
        unlabelled_share: float,
    ) -> None:
        self.nlp = nlp
        self.spans_key = spans_key
        self.dev_share = dev_share
        self.unlabelled_share = unlabelled_share

    def __call__(self, texts: list[str]) -> _Labelled:
        shards = _empty_shards()
        counts: Counter[str] = Counter()
        pairs = 0
        # The zone forgets the words of a chunk, or the vocabulary would grow for ever.
        with self.nlp.memory_zone(), cached_msgpack_hooks():
            for doc in self.nlp.pipe(texts):
                uris = {span.kb_id_ for span in doc.spans.get(self.spans_key, ())}
                part = self._part(doc, bool(uris))
                if part is not None:
                    shards[part].add(doc)
                pairs += len(uris)
                if part == "train":
                    counts.update(uris)
        return _Labelled(
            sentences=len(texts),
            docs={part: shards[part].to_bytes() for part in PARTS},
            n_docs={part: len(shards[part]) for part in PARTS},
            pairs=pairs,
            train_counts=counts,
        )

    def _part(self, doc: Doc, labelled: bool) -> str | None:
        share = int(_hash(doc.text.encode("utf8")), 16) / 2**64
        if not labelled:
            return "unlabelled" if share < self.unlabelled_share else None
        return "dev" if share < self.dev_share else "train"


def _label(
    worker: _Worker, chunks: Iterable[list[str]], n_process: int
) -> Iterator[_Labelled]:
    """The worker's results in the order of the chunks.

    `nlp.pipe(n_process=...)` sends every Doc through a pipe, this only DocBins of those
    with a match. Unlike Pool, the executor notices when a process was killed.
    """
    if n_process <= 1:
        yield from map(worker, chunks)
        return
    executor = ProcessPoolExecutor(
        n_process, initializer=_start_process, initargs=(worker,)
    )
    pending: deque[Future[_Labelled]] = deque()
    try:
        for chunk in chunks:
            pending.append(executor.submit(_run_in_process, chunk))
            if len(pending) > 2 * n_process:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(Errors.S315) from None
    finally:
        executor.shutdown(cancel_futures=True)


_process_worker: _Worker | None = None


def _start_process(worker: _Worker) -> None:
    global _process_worker
    _process_worker = worker
    # Ctrl-C is for the parent, which then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process when its parent is killed, for which it would wait for ever."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    cast(multiprocessing.Process, multiprocessing.parent_process()).join()
    os._exit(1)


def _run_in_process(texts: list[str]) -> _Labelled:
    return cast(_Worker, _process_worker)(texts)


@dataclass
class _Output:
    """The output folder and how far it has come, which is saved with each shard."""

    path: Path
    settings: dict[str, Any]
    sentences: NonNegativeInt = 0
    shards: NonNegativeInt = 0
    n_docs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    pairs: int = 0
    train_counts: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def __post_init__(self) -> None:
        self.report_path = self.path / "report.json"
        self._progress_path = self.path / "progress.json"
        self._shards = _empty_shards()

    @classmethod
    def open(cls, path: Path, settings: dict[str, Any], overwrite: bool) -> "_Output":
        """Start in an empty folder, or go on where a call with these settings ended."""
        output = cls(path, settings)
        if output._progress_path.exists():
            try:
                return cls._resume(output._progress_path, settings)
            except ValueError:
                if not overwrite:
                    raise
            output._clear()
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(Errors.S312.format(path=path))
        return output

    @classmethod
    def _resume(cls, progress_path: Path, settings: dict[str, Any]) -> "_Output":
        """Raises ValueError if the progress is of other settings, or damaged."""
        path = progress_path.parent
        try:
            saved = {**read_json(progress_path), "path": path}
            output = TypeAdapter(cls).validate_python(saved)
        except (TypeError, ValueError) as err:
            raise ValueError(Errors.S326.format(path=progress_path)) from err
        old = output.settings
        changed = [key for key in settings if old.get(key) != settings[key]]
        if changed:
            message = Errors.S311.format(path=path, changed=", ".join(changed))
            raise ValueError(message)
        return output

    def _clear(self) -> None:
        for name in ("progress.json", "report.json", "labels.json"):
            (self.path / name).unlink(missing_ok=True)
        for part in PARTS:
            for shard in (self.path / part).glob("*.spacy"):
                shard.unlink()

    def add(self, labelled: _Labelled) -> None:
        self.sentences += labelled.sentences
        self.pairs += labelled.pairs
        for uri, count in labelled.train_counts.items():
            self.train_counts[uri] = self.train_counts.get(uri, 0) + count
        for part in PARTS:
            self.n_docs[part] += labelled.n_docs[part]
            if labelled.n_docs[part]:
                self._shards[part].merge(DocBin().from_bytes(labelled.docs[part]))
        if len(self._shards["train"]) >= self.settings["shard_size"]:
            self._save_shard()

    def _save_shard(self) -> None:
        for part, docs in self._shards.items():
            if len(docs):
                name = f"{self.shards:05d}.spacy"
                write_file(self.path / part / name, docs.to_bytes())
        self._shards = _empty_shards()
        self.shards += 1
        self._save_progress()

    def _save_progress(self) -> None:
        state = asdict(self)
        del state["path"]
        _write_json(self._progress_path, state)

    def finish(self, sentences: _DistinctSentences, matcher: SkillMatcher) -> None:
        if any(map(len, self._shards.values())):
            self._save_shard()
        if not self.pairs:
            raise ValueError(Errors.S313.format(count=sentences.read))
        counts = {
            uri: self.train_counts[uri]
            for uri in matcher.taxonomy.uris
            if uri in self.train_counts
        }
        _write_json(self.path / "labels.json", counts)
        report = {
            "sentences_read": sentences.read,
            "near_duplicates": sentences.duplicates,
            "matched": self.n_docs["train"] + self.n_docs["dev"],
            **self.n_docs,
            "shards": self.shards,
            "pairs": self.pairs,
            "skills": len(matcher.taxonomy),
            "skills_with_at_least": {
                str(n): sum(count >= n for count in counts.values())
                for n in (1, 10, 100, 1000)
            },
            "most_frequent": _most_frequent(counts, matcher.taxonomy),
            "dropped_names": matcher.drop_names,
        }
        _write_json(self.report_path, report)
        self.done = True
        self._save_progress()


def _most_frequent(counts: dict[str, int], taxonomy: Taxonomy) -> list[dict[str, Any]]:
    uris = sorted(counts, key=counts.__getitem__, reverse=True)[:MOST_FREQUENT]
    return [
        {"uri": uri, "name": taxonomy[uri].name, "sentences": counts[uri]}
        for uri in uris
    ]


def _empty_shards() -> dict[str, DocBin]:
    return {part: empty_shard() for part in PARTS}


def _write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, ensure_ascii=False, indent=1).encode("utf8"))
