"""How a skill's names are looked for: case rules, qualifiers and stems."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import snowballstemmer

from .taxonomy import Taxonomy

# How a name's tokens are compared with the text's.
Comparison = Literal["exact", "lower", "stem"]

# Longer names in capitals are not mistaken for words: LDAP, but not IT or AIR.
MAX_SHORT = 3
QUALIFIER = re.compile(r"\s*\([^()]*\)$")


class Name(NamedTuple):
    """A name to look for, and the skill (its row) that it names."""

    text: str
    row: int
    preferred: bool


def skill_names(
    taxonomy: Taxonomy, drop_names: Mapping[str, Sequence[str]]
) -> Iterator[Name]:
    """The preferred name, with and without its qualifier, and the alternative ones.

    drop_names: for each name in lower case, the skills' URIs it is not to stand for.
    """
    for row, skill in enumerate(taxonomy):
        texts = {skill.name: True, QUALIFIER.sub("", skill.name): True}
        texts.update((text, False) for text in skill.alt_names if text not in texts)
        for text, preferred in texts.items():
            if text and skill.uri not in drop_names.get(text.lower(), ()):
                yield Name(text, row, preferred)


def comparison(words: Sequence[str], inflection: bool) -> Comparison | None:
    """How to look for a name of these tokens; None for one that is hopeless.

    One word is never stemmed (window is not Windows), and a short one with a capital is
    looked for as it is written, so that IT, R, Go and C do not match words. One of two
    letters without a capital matches nothing but words.
    """
    letters = sum(char.isalpha() for word in words for char in word)
    if not letters:
        return None
    if len(words) > 1:
        return "stem" if inflection else "lower"
    if letters > MAX_SHORT:
        return "lower"
    if words[0] != words[0].lower():
        return "exact"
    return "lower" if letters == MAX_SHORT else None


class Stemmer:
    """Snowball stems of lower-cased words, remembered."""

    def __init__(self, language: str):
        self.language = language
        self._stem = lru_cache(maxsize=2**18)(
            snowballstemmer.stemmer(language).stemWord
        )

    def __call__(self, word: str) -> str:
        return self._stem(word.lower())

    def __reduce__(self):
        return (Stemmer, (self.language,))
