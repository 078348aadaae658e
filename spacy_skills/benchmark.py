"""Benchmarks of sentences labelled with ESCO skills, as CSV or .spacy files.

Two layouts of CSV are read: one label a row, with the columns ``sentence`` and ``label``
(Decorte et al. 2022, further columns are ignored), and one sentence a row, with the columns
``sentence`` and ``skills``, a Python list of names (SkillSkape). A .spacy file holds Docs of
one sentence with ``spans["esco_skills"]``, as ``spacy skills convert`` writes them.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

from .errors import Errors
from .esco import load_taxonomy
from .lines import MAX_HELD, Lines, csv_rows
from .shards import read_shard
from .taxonomy import Taxonomy

# What annotators put where no skill fits; "" is a cell left empty.
NO_LABELS = ("", "UNDERSPECIFIED", "LABEL NOT PRESENT", "UNK")


@dataclass
class BenchmarkReport:
    """What was read from a benchmark's file, and what was left out.

    labels: cells or list items read. without_label: how many of them held each marker of
    NO_LABELS. unknown: labels the taxonomy doesn't have, with how often they occur.
    duplicates: labels their sentence had already. unscored: distinct sentences without a
    known label. blank: rows without a sentence.
    """

    labels: int = 0
    without_label: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    unscored: int = 0
    blank: int = 0


@dataclass(frozen=True)
class Benchmark:
    """Sentences with the URIs of their gold skills, at least one each."""

    name: str
    sentences: list[tuple[str, frozenset[str]]]
    report: BenchmarkReport


def read_benchmarks(path: str | Path, taxonomy: Taxonomy) -> list[Benchmark]:
    """The benchmark in a CSV or .spacy file, or those in a folder's CSV files, by name.

    Raises ValueError as read_benchmark, and if a folder holds no CSV file.
    """
    path = Path(path)
    if not path.is_dir():
        return [read_benchmark(path, taxonomy)]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
    if not files:
        raise ValueError(Errors.S401.format(path=path))
    return [read_benchmark(file, taxonomy) for file in files]


def read_benchmark(path: str | Path, taxonomy: Taxonomy) -> Benchmark:
    """One set of sentences; rows of the same sentence are merged.

    Raises OSError if there is no such file, ValueError if it is damaged, isn't UTF-8, or
    has other columns.
    """
    path = Path(path)
    report = BenchmarkReport()
    gold: dict[str, set[str]] = {}
    read = _read_docs if path.suffix == ".spacy" else _read_rows
    for sentence, labels in read(path):
        if not sentence:
            report.blank += 1
            continue
        uris = gold.setdefault(sentence, set())
        for uri in _find_labels(labels, taxonomy, report):
            report.duplicates += uri in uris
            uris.add(uri)
    sentences = [(text, frozenset(uris)) for text, uris in gold.items() if uris]
    report.unscored = len(gold) - len(sentences)
    return Benchmark(path.stem, sentences, report)


def _find_labels(
    labels: Iterable[str], taxonomy: Taxonomy, report: BenchmarkReport
) -> Iterator[str]:
    for label in labels:
        report.labels += 1
        uri = None if label in NO_LABELS else _find_skill(label, taxonomy)
        if uri is not None:
            yield uri
        else:
            left_out = report.without_label if label in NO_LABELS else report.unknown
            left_out[label] = left_out.get(label, 0) + 1


def _find_skill(label: str, taxonomy: Taxonomy) -> str | None:
    return label if label in taxonomy else taxonomy.find(label)


def _read_docs(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each doc's text and the URIs of its skills."""
    for doc in read_shard(path, Vocab()):
        skills = doc.spans.get("esco_skills", ())
        yield doc.text.strip(), [span.kb_id_ for span in skills] or [""]


def _read_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each row's sentence and labels, stripped of blanks."""
    # Raises OSError if there is none.
    path.stat()
    lines = Lines(path, max_bytes=MAX_HELD)
    rows = csv_rows(lines)
    header = next(rows, [])
    if "sentence" not in header or not {"label", "skills"} & set(header):
        found = ", ".join(name[:40] for name in header[:20]) or "nothing"
        raise ValueError(Errors.S403.format(path=path, columns=found))
    text, one_label = header.index("sentence"), "label" in header
    place_of_labels = header.index("label" if one_label else "skills")
    for row in filter(None, rows):
        place = f"{path}, line {lines.number}"
        if len(row) != len(header):
            reason = "it has more or fewer cells than the header"
            raise ValueError(Errors.S404.format(place=place, reason=reason))
        cell = row[place_of_labels]
        labels = [cell] if one_label else _parse_list(cell, place)
        yield row[text].strip(), [label.strip() for label in labels]


def _parse_list(cell: str, place: str) -> list[str]:
    """SkillSkape's lists of names, written by Python's repr."""
    try:
        names = ast.literal_eval(cell.strip() or "[]")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        reason = f"{cell[:50]!r} is no list of names such as ['use Python']"
        raise ValueError(Errors.S404.format(place=place, reason=reason))
    return names or [""]


def make_sentence_doc(nlp: Language, text: str) -> Doc:
    """A tokenized doc that is one sentence; spaCy's pipes leave bounds they find."""
    doc = nlp.make_doc(text)
    for token in doc:
        token.is_sent_start = token.i == 0
    return doc


@registry.readers("spacy_skills.Benchmark.v1")
class BenchmarkCorpus:
    """The scored sentences of benchmarks as Examples, for ``[corpora.dev]``.

    reference.spans["esco_skills"] holds a span over the whole doc for each gold skill,
    label_ its preferred name, kb_id_ its URI; predicted is one sentence.

    path: a CSV file or a folder of them, see read_benchmarks.
    taxonomy: a folder of ESCO's CSVs or a compact taxonomy, see load_taxonomy.
    """

    def __init__(self, path: str | Path, taxonomy: str | Path):
        self.path = path
        self.taxonomy = taxonomy
        self._sentences: list[tuple[str, list[tuple[str, str]]]] | None = None

    def __call__(self, nlp: Language) -> Iterator[Example]:
        # spaCy asks for the dev corpus at every evaluation: the files are read once.
        if self._sentences is None:
            self._sentences = self._read()
        for text, skills in self._sentences:
            reference = nlp.make_doc(text)
            reference.spans["esco_skills"] = [
                Span(reference, 0, len(reference), label=name, kb_id=uri)
                for name, uri in skills
            ]
            yield Example(make_sentence_doc(nlp, text), reference)

    def _read(self) -> list[tuple[str, list[tuple[str, str]]]]:
        taxonomy = load_taxonomy(self.taxonomy)
        return [
            (text, [(taxonomy[u].name, u) for u in sorted(uris, key=taxonomy.index)])
            for benchmark in read_benchmarks(self.path, taxonomy)
            for text, uris in benchmark.sentences
        ]
