"""Words in another form: what makes "managed staff" match "manage staff"."""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal

import snowballstemmer
from spacy.lookups import load_lookups
from spacy.util import get_lang_class

from .errors import Errors

Inflection = Literal["lemma", "stem", "none"]

# Distinct words that are remembered; 1.3 million ad sentences have fewer.
WORDS = 2**18


def word_forms(inflection: Inflection, lang: str) -> Callable[[str], str]:
    """A function from a word to the form in which words are compared, in lower case.

    inflection: "lemma" looks words up in spaCy's lemma tables (spacy-lookups-data), as
        the lemmatizer's mode "lookup"; "stem" takes their Snowball stems; "none" lower
        cases them. Lemmas join what a dictionary joins; stems also manager and manage
        (docs/experiments.md, 2).
    Raises ValueError if there is nothing of the kind for the language.
    """
    if inflection == "lemma":
        return _lemmas(lang)
    if inflection == "stem":
        return Stems(lang)
    return str.lower


@cache
def _lemmas(lang: str) -> "Lemmas":
    # Tables of 40,000 words, for matcher and ranker alike.
    return Lemmas(lang)


class Lemmas:
    """Lemmas from spaCy's lookup tables."""

    def __init__(self, lang: str):
        self.lang = lang
        try:
            lookups = load_lookups(lang, ["lemma_lookup"])
        except ValueError as err:
            message = Errors.S204.format(kind="lemma table", lang=lang)
            raise ValueError(message) from err
        self._table = lookups.get_table("lemma_lookup")
        self._lemma = lru_cache(maxsize=WORDS)(self._look_up)

    def __call__(self, word: str) -> str:
        return self._lemma(word)

    def _look_up(self, word: str) -> str:
        # Some languages' tables have their nouns with a capital.
        lower = word.lower()
        return self._table.get(word, self._table.get(lower, lower)).lower()

    def __reduce__(self):
        return (_lemmas, (self.lang,))


class Stems:
    """Snowball's stems."""

    def __init__(self, lang: str):
        self.lang = lang
        # spaCy's classes and Snowball's stemmers both bear the language's English name.
        name = get_lang_class(lang).__name__.lower()
        if name not in snowballstemmer.algorithms():
            raise ValueError(Errors.S204.format(kind="stemmer", lang=lang))
        stemmer = snowballstemmer.stemmer(name)
        self._stem = lru_cache(maxsize=WORDS)(stemmer.stemWord)

    def __call__(self, word: str) -> str:
        return self._stem(word.lower())

    def __reduce__(self):
        return (Stems, (self.lang,))
