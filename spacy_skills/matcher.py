"""The component ``esco_matcher``: skills that a text names literally."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup, Token
from spacy.training import Example
from spacy.util import SimpleFrozenList, from_disk, registry, to_disk
from spacy.util import from_bytes as from_bytes_
from spacy.util import to_bytes as to_bytes_

from .errors import Errors
from .inflection import Inflection, word_forms
from .name_index import NameIndex
from .names import Comparison, Name, comparison, skill_names
from .taxonomy import Taxonomy

# What may stand beside a name of one letter: "C, R and Java", "C/C++", "(R)", "in R".
SINGLE_LETTER_COMPANY = frozenset(
    {",", "/", ";", "|", "and", "or", "in", "language", "programming"}
)


class Match(NamedTuple):
    """Tokens start to end name the skill in this row."""

    start: int
    end: int
    row: int


@registry.readers("spacy_skills.DroppedNames.v1")
def read_dropped_names(path: Path | None = None) -> dict[str, list[str]]:
    """For each dropped name the URIs it no longer stands for: rows {"name", "uri", …} of
    the JSONL that ``python -m spacy skills names`` writes. No path, none dropped."""
    dropped: dict[str, list[str]] = {}
    if path is None:
        return dropped
    if not Path(path).is_file():
        raise ValueError(Errors.S203.format(path=path))
    for number, line in enumerate(
        Path(path).read_text(encoding="utf8").splitlines(), 1
    ):
        try:
            row = srsly.json_loads(line)
            dropped.setdefault(row["name"].lower(), []).append(row["uri"])
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise ValueError(Errors.S202.format(path=path, row=number)) from err
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

    A name that is one skill's preferred name stands for that skill alone; one that is
    only ever an alternative stands for all its skills.
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
        self._form = word_forms(inflection, nlp.vocab.lang)
        self._indexes: dict[Comparison, NameIndex] = {}

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
        self._add_names()

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
        found = list(self._find(doc))
        if not found:
            return []
        found.sort(key=lambda m: (m[0] - m[1], m[0]))
        matches: list[Match] = []
        # Tokens taken, and by which span: the same span may carry several skills.
        taken: dict[int, tuple[int, int]] = {}
        for start, end, row in found:
            holders = {taken.get(i) for i in range(start, end)}
            if holders <= {None} or holders == {(start, end)}:
                taken.update((i, (start, end)) for i in range(start, end))
                matches.append(Match(start, end, row))
        return sorted(set(matches))

    def _find(self, doc: Doc) -> Iterator[Match]:
        texts: dict[Comparison, Callable[[Token], str]] = {
            "exact": lambda token: token.text,
            "lower": lambda token: token.lower_,
            "form": lambda token: self._form(token.text),
        }
        for compare, index in self._indexes.items():
            words = [texts[compare](token) for token in doc]
            for start, end, rows in index.find(words):
                one_letter = end - start == 1 and len(words[start]) == 1
                if one_letter and not _in_company(doc, start):
                    continue
                for row in rows:
                    yield Match(start, end, row)

    def _add_names(self) -> None:
        names: dict[Comparison, dict[str, list[int]]] = {}
        for (compare, words), found in self._surfaces().items():
            names.setdefault(compare, {})[" ".join(words)] = _skills_of(found)
        self._indexes = {compare: NameIndex(names[compare]) for compare in names}

    def _surfaces(self) -> dict[tuple[Comparison, tuple[str, ...]], list[Name]]:
        """The names by what is compared: their words, in lower case or in their form."""
        surfaces: dict[tuple[Comparison, tuple[str, ...]], list[Name]] = {}
        for name in skill_names(self.taxonomy, self.drop_names):
            words = [token.text for token in self.tokenizer(name.text)]
            compare = comparison(words)
            if compare is None:
                continue
            if compare == "form":
                words = [self._form(word) for word in words]
            elif compare == "lower":
                words = [word.lower() for word in words]
            surfaces.setdefault((compare, tuple(words)), []).append(name)
        return surfaces

    def to_bytes(self, *, exclude: Iterable[str] = SimpleFrozenList()) -> bytes:
        serialize = {
            "cfg": lambda: srsly.json_dumps(self.cfg),
            "taxonomy": self.taxonomy.to_bytes,
            "drop_names": lambda: srsly.json_dumps(self.drop_names),
            "names": self.names_to_bytes,
        }
        return to_bytes_(serialize, exclude)

    def from_bytes(
        self, data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        deserialize = {
            "cfg": lambda b: self.cfg.update(srsly.json_loads(b)),
            "taxonomy": lambda b: self._load_taxonomy(Taxonomy.from_bytes(b)),
            "drop_names": lambda b: self.drop_names.update(srsly.json_loads(b)),
            "names": self.names_from_bytes,
        }
        from_bytes_(data, deserialize, exclude)
        return self._set_form()

    def to_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> None:
        serialize = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "taxonomy": self.taxonomy.to_disk,
            "drop_names": lambda p: srsly.write_json(p, self.drop_names),
            "names": lambda p: p.write_bytes(self.names_to_bytes()),
        }
        to_disk(path, serialize, exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SkillMatcher":
        deserialize = {
            "cfg": lambda p: self.cfg.update(srsly.read_json(p)),
            "taxonomy": lambda p: self._load_taxonomy(Taxonomy.from_disk(p)),
            "drop_names": lambda p: self.drop_names.update(srsly.read_json(p)),
            "names": lambda p: self.names_from_bytes(p.read_bytes()),
        }
        from_disk(path, deserialize, exclude)
        return self._set_form()

    def _load_taxonomy(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy

    def names_to_bytes(self) -> bytes:
        """The names in the forms in which they are compared."""
        indexes = {key: index.to_dict() for key, index in self._indexes.items()}
        return zlib.compress(srsly.msgpack_dumps(indexes))

    def names_from_bytes(self, data: bytes) -> None:
        """Raises ValueError if the data is damaged."""
        try:
            indexes = srsly.msgpack_loads(zlib.decompress(data))
            self._indexes = {k: NameIndex.from_dict(d) for k, d in indexes.items()}
        except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as err:
            raise ValueError(Errors.S205.format(name=self.name, reason=err)) from err

    def _set_form(self) -> "SkillMatcher":
        self._form = word_forms(self.cfg["inflection"], self.vocab.lang)
        return self


def _skills_of(names: list[Name]) -> list[int]:
    preferred = [name.row for name in names if name.preferred]
    return sorted(set(preferred or [name.row for name in names]))


def _in_company(doc: Doc, i: int) -> bool:
    before = doc[i - 1].lower_ if i else ","
    after = doc[i + 1].lower_ if i + 1 < len(doc) else ","
    return before in SINGLE_LETTER_COMPANY or after in SINGLE_LETTER_COMPANY
