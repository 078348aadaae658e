"""An index of names as sequences of words: finds every occurrence in a text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class NameIndex:
    """The names in a list of words, by look-ups: linear in the text's length.

    Finds what spaCy's PhraseMatcher finds (tested), but is saved and loaded as it is: a
    PhraseMatcher wants a Doc for each of ESCO's 111,000 names whenever it is set up.
    """

    def __init__(self, names: Mapping[str, Sequence[int]]) -> None:
        """names: words joined by blanks, with the rows of the skills they name."""
        self.names = dict(names)
        # The most words of a name that starts with this one.
        self._longest: dict[str, int] = {}
        for name in self.names:
            first, _, rest = name.partition(" ")
            words = 1 + rest.count(" ") + 1 if rest else 1
            if words > self._longest.get(first, 0):
                self._longest[first] = words

    def find(self, words: Sequence[str]) -> Iterator[tuple[int, int, Sequence[int]]]:
        """(start, end, rows) of every name in the words, overlapping ones too."""
        for start, word in enumerate(words):
            limit = min(start + self._longest.get(word, 0), len(words))
            text = ""
            for end in range(start + 1, limit + 1):
                text = f"{text} {words[end - 1]}" if text else word
                rows = self.names.get(text)
                if rows is not None:
                    yield start, end, rows

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``NameIndex(...)``: names of the same rows share a list."""
        by_rows: dict[tuple[int, ...], list[str]] = {}
        for name, rows in self.names.items():
            by_rows.setdefault(tuple(rows), []).append(name)
        return {"rows": [list(rows) for rows in by_rows], "names": [*by_rows.values()]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NameIndex":
        """Raises KeyError, TypeError or ValueError for anything but ``to_dict``'s data."""
        pairs = zip(data["names"], data["rows"], strict=True)
        names = {name: rows for names, rows in pairs for name in names}
        for rows in data["rows"]:
            if not all(isinstance(row, int) and row >= 0 for row in rows):
                raise TypeError(f"the rows of a name are {rows}"[:200])
        return cls(names)
