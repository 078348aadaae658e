"""The component ``esco_matcher``: skills that a text names literally."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import srsly
from pydantic import TypeAdapter
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.util import SimpleFrozenList, registry
from typing_extensions import TypedDict

from .errors import Errors
from .finder import Match, NameFinder
from .inflection import Inflection
from .lines import MAX_HELD, Lines
from .parts import SavedParts, join_parts, write_parts
from .taxonomy import Taxonomy


@registry.readers("spacy_skills.DroppedNames.v1")
def read_dropped_names(path: Path | None = None) -> dict[str, list[str]]:
    """For each dropped name the URIs it no longer stands for: rows {"name", "uri", …} of
    the JSONL that ``python -m spacy skills names`` writes. No path, none dropped."""
    dropped: dict[str, list[str]] = {}
    if path is None:
        return dropped
    if not Path(path).is_file():
        raise ValueError(Errors.S203.format(path=path))
    lines = Lines(Path(path), max_bytes=MAX_HELD)
    for line in lines:
        try:
            row = srsly.json_loads(line)
            name, uri = row["name"].lower(), row["uri"]
            if not isinstance(uri, str):
                raise TypeError(uri)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            message = Errors.S202.format(path=path, row=lines.number)
            raise ValueError(message) from err
        dropped.setdefault(name, []).append(uri)
    return dropped


@Language.factory(
    "esco_matcher",
    assigns=["doc.spans"],
    default_config={
        "spans_key": "esco_matches",
        "inflection": "lemma",
    },
)
def make_esco_matcher(
    nlp: Language,
    name: str,
    spans_key: str,
    inflection: Inflection,
) -> "SkillMatcher":
    """Find ESCO's preferred and alternative names.

    spans_key: where the matches go in doc.spans.
    inflection: compare names of two words and more by the "lemma" or the "stem" of their
        words, or "none". Raises ValueError if the pipeline's language has none such.
    """
    return SkillMatcher(nlp, name, spans_key=spans_key, inflection=inflection)


class _Settings(TypedDict):
    """Of ``cfg``."""

    spans_key: str
    inflection: Inflection


class SkillMatcher(Pipe):
    """``doc.spans["esco_matches"]``: the longest names first, none overlapping; a span per
    skill of the name, ``label_`` its preferred name, ``kb_id_`` its URI.
    """

    def __init__(
        self,
        nlp: Language,
        name: str = "esco_matcher",
        *,
        spans_key: str = "esco_matches",
        inflection: Inflection = "lemma",
    ) -> None:
        self.vocab = nlp.vocab
        self.tokenizer = nlp.tokenizer
        self.name = name
        self.cfg: dict[str, Any] = {
            "spans_key": spans_key,
            "inflection": inflection,
        }
        self._taxonomy: Taxonomy | None = None
        self.drop_names: dict[str, list[str]] = {}
        self.finder = NameFinder(inflection, nlp.vocab.lang)

    @property
    def taxonomy(self) -> Taxonomy:
        if self._taxonomy is None:
            raise ValueError(Errors.S201.format(name=self.name))
        return self._taxonomy

    @property
    def spans_key(self) -> str:
        return self.cfg["spans_key"]

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
        taxonomy: Taxonomy | None = None,
        drop_names: dict[str, list[str]] | None = None,
    ) -> None:
        """Take the names of the taxonomy's skills.

        drop_names: see ``read_dropped_names``. Raises ValueError without a taxonomy.
        """
        if taxonomy is None:
            raise ValueError(Errors.S201.format(name=self.name))
        self._taxonomy = taxonomy
        self.drop_names = drop_names or {}
        self.finder.add_names(taxonomy, self.tokenizer, self.drop_names)

    def __call__(self, doc: Doc) -> Doc:
        skills, key = self.taxonomy.skills, self.spans_key
        spans = [
            Span(doc, start, end, label=skills[row].name, kb_id=skills[row].uri)
            for start, end, row in self.match(doc)
        ]
        doc.spans[key] = SpanGroup(doc, name=key, spans=spans)
        return doc

    def match(self, doc: Doc) -> list[Match]:
        """The matches in text order. Of two that overlap the longer one counts."""
        return self.finder.find(doc)

    def to_bytes(self, *, exclude: Iterable[str] = SimpleFrozenList()) -> bytes:
        return join_parts(self.cfg, self._writers(), exclude)

    def from_bytes(
        self, data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        return self._load(SavedParts.from_bytes(self.name, data), exclude)

    def to_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> None:
        write_parts(Path(path), self.cfg, self._writers(), exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        return self._load(SavedParts(self.name, Path(path)), exclude)

    def _writers(self) -> dict[str, Callable[[], bytes]]:
        return {
            "taxonomy": self.taxonomy.to_bytes,
            "drop_names": lambda: srsly.json_dumps(self.drop_names).encode("utf8"),
            "names": self.finder.to_bytes,
        }

    def _load(self, saved: SavedParts, exclude: Iterable[str]) -> "SkillMatcher":
        """Raises ValueError for parts that are damaged or do not belong together, OSError for
        one that is missing."""
        loaders = {
            "taxonomy": self._load_taxonomy,
            "drop_names": self._load_drop_names,
            "names": self._load_names,
        }
        saved.load(self.cfg, loaders, settings=TypeAdapter(_Settings), exclude=exclude)
        saved.check_digests()
        return self

    def _load_taxonomy(self, data: bytes) -> None:
        self._taxonomy = Taxonomy.from_bytes(data, source="the taxonomy")

    def _load_drop_names(self, data: bytes) -> None:
        self.drop_names = dict(srsly.json_loads(data))

    def _load_names(self, data: bytes) -> None:
        self.finder = NameFinder.from_bytes(data)
