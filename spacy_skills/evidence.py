"""The literal matches of sentences: which of their words name which skill."""

from bisect import bisect_left
from typing import NamedTuple

from spacy.tokens import Doc, Span

from .finder import NameFinder
from .taxonomy import Taxonomy

# A literal match of so many tokens counts in full.
FULL_MATCH = 3


class LiteralMatch(NamedTuple):
    """Tokens start to end name the skill; strength grows with their number, up to 1."""

    strength: float
    start: int
    end: int


class LiteralMatches:
    """Those of ``doc.spans[key]``, or what the finder finds where no pipe has left any.

    Made for some docs and then left: what a doc holds is looked at once.
    """

    def __init__(
        self, key: str, taxonomy: Taxonomy, finder: NameFinder | None = None
    ) -> None:
        self.key = key
        self.taxonomy = taxonomy
        self.finder = finder
        # The docs too, so that no other gets the id of one.
        self._docs: dict[int, tuple[Doc, list[tuple[int, int, int]]]] = {}

    def of(self, sentence: Span) -> dict[int, LiteralMatch]:
        """The longest match of each skill in the sentence, by the skill's row."""
        matches: dict[int, LiteralMatch] = {}
        for start, end, row in self._spans(sentence):
            best = matches.get(row)
            if best is None or end - start > best.end - best.start:
                strength = min((end - start) / FULL_MATCH, 1.0)
                matches[row] = LiteralMatch(strength, start, end)
        return matches

    def _spans(self, sentence: Span) -> list[tuple[int, int, int]]:
        doc = sentence.doc
        if self.key not in doc.spans:
            return [] if self.finder is None else list(self.finder.find(sentence))
        if id(doc) not in self._docs:
            spans = (
                span for span in doc.spans[self.key] if span.kb_id_ in self.taxonomy
            )
            found = [(s.start, s.end, self.taxonomy.index(s.kb_id_)) for s in spans]
            self._docs[id(doc)] = doc, sorted(found)
        _, found = self._docs[id(doc)]
        first = bisect_left(found, (sentence.start, 0, 0))
        return found[first : bisect_left(found, (sentence.end, 0, 0))]
