"""Finds names that match where their skill is not meant.

A name is tested on sentences it matched in, the name itself taken out: if what is left
says nothing about the skill, more often than not, the name says nothing either.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy
from numpy.random import default_rng
from spacy.tokens import Doc

from .matcher import SkillMatcher
from .names import QUALIFIER

Encode = Callable[[Sequence[str]], numpy.ndarray]


@dataclass(frozen=True)
class NameUse:
    """How a name is used: in sentences of the sample, for the skill.

    far: share of the tested sentences that lie no closer to the skill than sentences
    picked at random do (see ``ambiguous_names``).
    """

    name: str
    uri: str
    skill: str
    count: int
    tested: int
    far: float


@dataclass
class Contexts:
    """Sentences in which a skill's name stood, without it: a sample of bounded size."""

    name: str
    row: int
    count: int
    texts: list[str]


def collect_contexts(
    docs: Iterable[Doc], matcher: SkillMatcher, *, per_name: int = 64, seed: int = 0
) -> list[Contexts]:
    """For each (name, skill) that matches, the context of some of its matches.

    A name is a way of writing, in lower case; per_name contexts are kept of it, each of
    its matches with the same chance (reservoir sampling).
    """
    rng = default_rng(seed)
    found: dict[tuple[str, int], Contexts] = {}
    for doc in docs:
        for start, end, row in matcher.match(doc):
            name = doc[start:end].text.lower()
            contexts = found.setdefault((name, row), Contexts(name, row, 0, []))
            contexts.count += 1
            text = f"{doc[:start].text} {doc[end:].text}".strip()
            if len(contexts.texts) < per_name:
                contexts.texts.append(text)
            elif (place := int(rng.integers(contexts.count))) < per_name:
                contexts.texts[place] = text
    return list(found.values())


def ambiguous_names(
    contexts: Sequence[Contexts],
    matcher: SkillMatcher,
    encode: Encode,
    *,
    min_count: int = 10,
    margin: float = 1.0,
    max_far: float = 0.4,
    max_far_preferred: float = 0.75,
) -> tuple[list[NameUse], list[NameUse]]:
    """(names to drop, names to keep), the most frequent first.

    A context is far from the skill if its cosine to the skill's name and description is
    less than `margin` standard deviations above that of contexts of all the other names.
    A name is dropped if more than `max_far` of its contexts are far; a preferred name,
    which more likely means its skill, if more than `max_far_preferred` are. Names of
    several words, and those that matched less than `min_count` times, are kept untested.

    encode: texts to unit vectors, [texts, width].
    """
    tested = [c for c in contexts if c.count >= min_count and " " not in c.name]
    if not tested:
        return [], []
    skills = matcher.taxonomy.skills
    rows = sorted({c.row for c in tested})
    described = encode([f"{skills[r].name}: {skills[r].description}" for r in rows])
    vectors = dict(zip(rows, described))
    texts = [text for c in tested for text in c.texts]
    encoded = encode(texts)
    ends = numpy.cumsum([len(c.texts) for c in tested])
    drop: list[NameUse] = []
    keep: list[NameUse] = []
    for contexts_, end in zip(tested, ends):
        own = slice(end - len(contexts_.texts), end)
        cosines = encoded @ vectors[contexts_.row]
        others = numpy.delete(cosines, own)
        limit = others.mean() + margin * others.std() if len(others) else 0.0
        use = NameUse(
            name=contexts_.name,
            uri=skills[contexts_.row].uri,
            skill=skills[contexts_.row].name,
            count=contexts_.count,
            tested=len(contexts_.texts),
            far=round(float((cosines[own] < limit).mean()), 3),
        )
        preferred = QUALIFIER.sub("", use.skill).lower() == use.name
        limit_far = max_far_preferred if preferred else max_far
        (drop if use.far > limit_far else keep).append(use)
    return sorted(drop, key=_frequent_first), sorted(keep, key=_frequent_first)


def _frequent_first(use: NameUse) -> tuple[int, str, str]:
    return -use.count, use.name, use.uri
