"""How a skill's names are looked for: case rules and qualifiers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from .taxonomy import Taxonomy

# How a name's tokens are compared with the text's.
Comparison = Literal["exact", "lower", "form"]

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


def comparison(words: Sequence[str]) -> Comparison | None:
    """How to look for a name of these tokens; None for one that is hopeless.

    One word is not matched in other forms (window is not Windows), and a short one with a capital is
    looked for as it is written, so that IT, R, Go and C do not match words. One of two
    letters without a capital matches nothing but words.
    """
    letters = sum(char.isalpha() for word in words for char in word)
    if not letters:
        return None
    if len(words) > 1:
        return "form"
    if letters > MAX_SHORT:
        return "lower"
    if words[0] != words[0].lower():
        return "exact"
    return "lower" if letters == MAX_SHORT else None
