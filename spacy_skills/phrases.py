"""Sentences and their pieces: what the encoder is asked to turn into vectors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy
from spacy.tokens import Doc, Span, Token
from spacy.util import registry

from .sentences import split_ad


class Marks(NamedTuple):
    """What a spanner finds in a sentence: spans that ask for a skill, in text order, for each
    token the probability that it belongs to one, float32 [tokens], and a vector of the sentence,
    float32 [width]."""

    spans: list[Span]
    asked: numpy.ndarray
    vector: numpy.ndarray


PhraseFunction = Callable[[Span], list[Span]]
Spanner = Callable[[Sequence[Span]], list[Marks]]

BRACKETS_AND_SEPARATORS = frozenset("()[]{}/|;,•·")


@dataclass
class Segments:
    """The sentences of a batch of docs, each followed by its pieces.

    ``spans[starts[i]]`` is sentence *i*, the spans from there up to ``starts[i + 1]``
    are its pieces, so that "the best piece" is a reduction over one contiguous group.
    ``marks[i]`` is what the spanner found in sentence *i*.
    """

    docs: list[Doc]
    spans: list[Span] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    marks: list[Marks] = field(default_factory=list)

    @classmethod
    def from_docs(
        cls,
        docs: Iterable[Doc],
        phrases: PhraseFunction,
        spanner: Spanner | None = None,
    ) -> "Segments":
        docs = list(docs)
        found = [sentence for doc in docs for sentence in sentences(doc)]
        segments = cls.of(found, mark(found, spanner), phrases)
        segments.docs = docs
        return segments

    @classmethod
    def stream(
        cls,
        docs: Iterable[Doc],
        phrases: PhraseFunction,
        max_sentences: int,
        spanner: Spanner | None = None,
    ) -> Iterator["Segments"]:
        """The docs' sentences in order, at most max_sentences at a time."""
        every = (sentence for doc in docs for sentence in sentences(doc))
        while batch := list(islice(every, max_sentences)):
            yield cls.of(batch, mark(batch, spanner), phrases)

    @classmethod
    def of(
        cls,
        sentences: Sequence[Span],
        marks: Sequence[Marks],
        phrases: PhraseFunction | None,
    ) -> "Segments":
        """These sentences, with the pieces that the phrase function and the spanner found;
        without pieces if the function is None."""
        segments = cls(list({id(s.doc): s.doc for s in sentences}.values()))
        for sentence, found in zip(sentences, marks, strict=True):
            segments.starts.append(len(segments.spans))
            segments.spans.append(sentence)
            if phrases is not None:
                segments.spans += [*phrases(sentence), *found.spans]
            segments.marks.append(found)
        return segments

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sentences(self) -> list[Span]:
        return [self.spans[start] for start in self.starts]


def mark(sentences: Sequence[Span], spanner: Spanner | None) -> list[Marks]:
    """What the spanner finds in each sentence; nothing, and vectors without width, if there is
    none."""
    if spanner is not None:
        return spanner(sentences)
    nothing = numpy.zeros(0, dtype="float32")
    return [Marks([], numpy.zeros(len(s), dtype="float32"), nothing) for s in sentences]


def sentences(doc: Doc) -> list[Span]:
    """The doc's sentences that hold a letter or a digit. Where no pipe has set bounds, those
    that ``ad_sentencizer`` would set."""
    if doc.has_annotation("SENT_START"):
        return [sent for sent in doc.sents if any(map(str.isalnum, sent.text))]
    found: list[Span] = []
    for start, end in split_ad(doc.text):
        sentence = doc.char_span(start, end, alignment_mode="expand")
        assert sentence is not None  # it is for alignment_mode="strict" only
        # A token that reaches over the bound belongs to the sentence it starts in.
        first = max(sentence.start, found[-1].end) if found else sentence.start
        if first < sentence.end:
            found.append(doc[first : sentence.end])
    return [sentence for sentence in found if any(map(str.isalnum, sentence.text))]


@dataclass(frozen=True)
class ClausePhrases:
    """Cuts a sentence at punctuation, brackets, slashes and conjunctions."""

    conjunctions: frozenset[str]
    max_phrases: int

    def __call__(self, sentence: Span) -> list[Span]:
        pieces: list[Span] = []
        start = sentence.start
        for token in sentence:
            if self._separates(token):
                pieces.append(sentence.doc[start : token.i])
                start = token.i + 1
        pieces.append(sentence.doc[start : sentence.end])
        pieces = [piece for piece in pieces if any(t.is_alpha for t in piece)]
        # A lone piece says no more than the sentence it came from.
        return pieces[: self.max_phrases] if len(pieces) > 1 else []

    def _separates(self, token: Token) -> bool:
        if token.is_space or token.lower_ in self.conjunctions:
            return True
        if not token.is_punct and token.text not in BRACKETS_AND_SEPARATORS:
            return False
        # The hyphen of "full-stack" stands inside a word.
        doc = token.doc
        inside = 0 < token.i < len(doc) - 1 and not (
            doc[token.i - 1].whitespace_ or token.whitespace_
        )
        return token.text in BRACKETS_AND_SEPARATORS or not inside


@registry.misc("spacy_skills.clause_phrases.v1")
def make_clause_phrases(
    conjunctions: list[str] | None = None, max_phrases: int = 32
) -> PhraseFunction:
    """Pieces between punctuation and conjunctions.

    conjunctions: lower-case words that separate, English "and", "or", "&" by default.
    max_phrases: the most pieces taken of one sentence, which bounds the encoder's work.
    """
    words = ["and", "or", "&"] if conjunctions is None else conjunctions
    return ClausePhrases(frozenset(words), max_phrases)


def no_phrases(sentence: Span) -> list[Span]:
    """The sentence alone."""
    return []


@registry.misc("spacy_skills.no_phrases.v1")
def make_no_phrases() -> PhraseFunction:
    """Score whole sentences only: a third of the encoder's work, and less found."""
    return no_phrases
