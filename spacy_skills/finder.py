"""Finds the skills' names in a text: which words name which skill."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import srsly
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, Span, Token

from .compressed import MAX_DATA, inflate, loads
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


class NameFinder:
    """The longest names first, none overlapping.

    A name that is one skill's preferred name stands for that skill alone; one that is
    only ever an alternative stands for all its skills.
    """

    def __init__(self, inflection: Inflection, lang: str) -> None:
        """Raises ValueError if the language has no inflection of this kind."""
        self.inflection = inflection
        self.lang = lang
        self._form = word_forms(inflection, lang)
        self._indexes: dict[Comparison, NameIndex] = {}

    def add_names(
        self,
        taxonomy: Taxonomy,
        tokenizer: Tokenizer,
        drop_names: Mapping[str, Sequence[str]],
    ) -> None:
        """Look for the names of the taxonomy's skills; see ``names.skill_names``."""
        surfaces: dict[Comparison, dict[str, list[Name]]] = {}
        for name in skill_names(taxonomy, drop_names):
            words = [token.text for token in tokenizer(name.text)]
            compare = comparison(words)
            if compare is None:
                continue
            if compare == "form":
                words = [self._form(word) for word in words]
            elif compare == "lower":
                words = [word.lower() for word in words]
            same = surfaces.setdefault(compare, {})
            same.setdefault(" ".join(words), []).append(name)
        self._indexes = {
            compare: NameIndex(
                {text: _skills_of(names) for text, names in same.items()}
            )
            for compare, same in surfaces.items()
        }

    def find(self, text: Doc | Span) -> list[Match]:
        """The matches in text order, as tokens of the doc. Of two that overlap the longer
        one counts."""
        found = list(self._find(text))
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

    def _find(self, text: Doc | Span) -> Iterator[Match]:
        words: dict[Comparison, Callable[[Token], str]] = {
            "exact": lambda token: token.text,
            "lower": lambda token: token.lower_,
            "form": lambda token: self._form(token.text),
        }
        tokens = list(text)
        for compare, index in self._indexes.items():
            found = index.find([words[compare](token) for token in tokens])
            for start, end, rows in found:
                one_letter = end - start == 1 and len(tokens[start]) == 1
                if one_letter and not _in_company(tokens, start):
                    continue
                first = tokens[start].i
                for row in rows:
                    yield Match(first, first + end - start, row)

    def to_bytes(self) -> bytes:
        msg = {
            "inflection": self.inflection,
            "lang": self.lang,
            "names": {key: index.to_dict() for key, index in self._indexes.items()},
        }
        return zlib.compress(srsly.msgpack_dumps(msg))

    @classmethod
    def from_bytes(cls, data: bytes) -> "NameFinder":
        """Raises ValueError if the data is damaged."""
        try:
            msg = loads(inflate(data, MAX_DATA))
            finder = cls(msg["inflection"], msg["lang"])
            finder._indexes = {
                key: NameIndex.from_dict(names) for key, names in msg["names"].items()
            }
            if not set(finder._indexes) <= set(get_args(Comparison)):
                raise ValueError(f"names are compared as {list(finder._indexes)}"[:200])
        except (
            AttributeError,
            ImportError,
            KeyError,
            TypeError,
            ValueError,
        ) as err:
            raise ValueError(Errors.S205.format(reason=err)) from err
        return finder


def _skills_of(names: list[Name]) -> list[int]:
    preferred = [name.row for name in names if name.preferred]
    return sorted(set(preferred or [name.row for name in names]))


def _in_company(tokens: Sequence[Token], i: int) -> bool:
    before = tokens[i - 1].lower_ if i else ","
    after = tokens[i + 1].lower_ if i + 1 < len(tokens) else ","
    return before in SINGLE_LETTER_COMPANY or after in SINGLE_LETTER_COMPANY
