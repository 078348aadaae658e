"""The component ``esco_matcher``: skills that a text names literally."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.util import SimpleFrozenList, from_disk, registry, to_disk
from spacy.util import from_bytes as from_bytes_
from spacy.util import to_bytes as to_bytes_

from .errors import Errors
from .finder import Match, NameFinder
from .inflection import Inflection
from .lines import MAX_HELD, Lines
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
        serialize = {
            "cfg": lambda: srsly.json_dumps(self.cfg),
            "taxonomy": self.taxonomy.to_bytes,
            "drop_names": lambda: srsly.json_dumps(self.drop_names),
            "names": self.finder.to_bytes,
        }
        return to_bytes_(serialize, exclude)

    def from_bytes(
        self, data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        deserialize = {
            "cfg": lambda b: self.cfg.update(srsly.json_loads(b)),
            "taxonomy": lambda b: self._load_taxonomy(Taxonomy.from_bytes(b)),
            "drop_names": lambda b: self.drop_names.update(srsly.json_loads(b)),
            "names": self._load_names,
        }
        from_bytes_(data, deserialize, exclude)
        return self

    def to_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> None:
        serialize = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "taxonomy": self.taxonomy.to_disk,
            "drop_names": lambda p: srsly.write_json(p, self.drop_names),
            "names": lambda p: p.write_bytes(self.finder.to_bytes()),
        }
        to_disk(path, serialize, exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        deserialize = {
            "cfg": lambda p: self.cfg.update(srsly.read_json(p)),
            "taxonomy": lambda p: self._load_taxonomy(Taxonomy.from_disk(p)),
            "drop_names": lambda p: self.drop_names.update(srsly.read_json(p)),
            "names": lambda p: self._load_names(p.read_bytes()),
        }
        from_disk(path, deserialize, exclude)
        return self

    def _load_taxonomy(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy

    def _load_names(self, data: bytes) -> None:
        self.finder = NameFinder.from_bytes(data)
