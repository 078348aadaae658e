"""Builds the distant corpus: ads' sentences, labelled by the ESCO names in them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from spacy.language import Language
from spacy.tokens import DocBin
from tqdm import tqdm

from . import __version__
from .ads import find_ad_files
from .errors import Errors
from .files import write_file
from .labelling import PARTS, Labelled, Labeller, digest, empty_shards, label
from .lines import read_json
from .matcher import SkillMatcher
from .sentences import NearDuplicates, read_sentences
from .taxonomy import Taxonomy

MOST_FREQUENT = 30
# What JSON's readers agree on.
Count = Annotated[int, Field(ge=0, lt=2**53)]


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
    _check_numbers(shard_size, dev_share, unlabelled_share)
    matcher = _find_matcher(nlp)
    settings = {
        "version": __version__,
        "ads": [[str(f), f.stat().st_size] for f in find_ad_files(Path(ads_path))],
        "text_field": text_field,
        "shard_size": shard_size,
        "dev_share": dev_share,
        "unlabelled_share": unlabelled_share,
        "matcher": digest((nlp.lang or "").encode("utf8") + matcher.to_bytes()),
    }
    output = _Output.open(Path(output_dir), settings, overwrite)
    if not output.done:
        sentences = _DistinctSentences(ads_path, text_field)
        todo = islice(sentences, output.sentences, None)
        labeller = Labeller(nlp, matcher.spans_key, dev_share, unlabelled_share)
        with tqdm(
            desc="Sentences",
            initial=output.sentences,
            unit_scale=True,
            disable=not show_progress,
        ) as progress:
            for labelled in label(labeller, todo, n_process):
                progress.update(labelled.sentences)
                output.add(labelled)
        output.finish(sentences, matcher)
    return read_json(output.report_path)


def _check_numbers(shard_size: int, dev_share: float, unlabelled_share: float) -> None:
    for name, value, good, allowed in (
        ("shard_size", shard_size, shard_size >= 1, "at least 1"),
        ("dev_share", dev_share, 0.0 <= dev_share < 1.0, "at least 0 and below 1"),
        (
            "unlabelled_share",
            unlabelled_share,
            0.0 <= unlabelled_share <= 1.0,
            "from 0 to 1",
        ),
    ):
        if not good:
            message = Errors.S316.format(name=name, allowed=allowed, value=value)
            raise ValueError(message)


def _find_matcher(nlp: Language) -> SkillMatcher:
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, SkillMatcher):
            return pipe
    raise ValueError(Errors.S314.format(pipes=nlp.pipe_names))


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


@dataclass
class _Output:
    """The output folder and how far it has come, which is saved with each shard."""

    path: Path
    settings: dict[str, Any]
    sentences: Count = 0
    shards: Count = 0
    n_docs: dict[str, Count] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    pairs: Count = 0
    train_counts: dict[str, Count] = field(default_factory=dict)
    done: bool = False

    def __post_init__(self) -> None:
        self.report_path = self.path / "report.json"
        self._progress_path = self.path / "progress.json"
        self._shards = empty_shards()

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
            if set(output.n_docs) != set(PARTS):
                raise ValueError(output.n_docs)
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

    def add(self, labelled: Labelled) -> None:
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
        self._shards = empty_shards()
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


def _write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, ensure_ascii=False, indent=1).encode("utf8"))
