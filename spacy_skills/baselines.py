"""Rankers without training, to compare against: name vectors, literal match and BM25.

Each is called with a batch of docs, one sentence each, and yields a sentence's scores over
all skills, [skills], higher is better.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy
from spacy.language import Language
from spacy.tokens import Doc

from .evidence import LiteralMatches
from .finder import NameFinder
from .taxonomy import Taxonomy

if TYPE_CHECKING:
    from .ranker import SkillRanker

Ranker = Callable[[Sequence[Doc]], Iterator[numpy.ndarray]]


def make_baselines(
    nlp: Language, component: "SkillRanker", encoder: str | None = None
) -> tuple[dict[str, Ranker], list[str]]:
    """All of them that can be made, by name, for the skills of a pipeline's component, and
    what was left out, and why.

    encoder: of the cosine to names, a folder or a name of the hub; all-MiniLM-L6-v2 as it
        comes if None. Raises ValueError if an encoder that was named can't be had.
    """
    taxonomy = component.taxonomy
    rankers: dict[str, Ranker] = {}
    left_out = []
    try:
        rankers["untrained encoder"] = NameCosine(taxonomy, _text_encoder(encoder))
    except ValueError as err:
        if encoder is not None:
            raise
        left_out.append(f"the untrained encoder: {err}")
    matches_key = component.cfg["matches_key"]
    matched = "esco_matcher" in (nlp.get_pipe_meta(p).factory for p in nlp.pipe_names)
    if matched or component.finder is not None:
        finder = component.finder
        rankers["literal match"] = LiteralMatch(taxonomy, matches_key, finder)
    else:
        left_out.append("literal match: the pipeline has no component esco_matcher")
    if importlib.util.find_spec("bm25s") is not None:
        rankers["BM25 on names"] = NameBM25(taxonomy, nlp)
    else:
        left_out.append("BM25: it needs pip install 'spacy-skills[benchmark]'")
    return rankers, left_out


def _text_encoder(name: str | None) -> Callable[[Sequence[str]], numpy.ndarray]:
    # Brings the transformers library, which costs seconds to import.
    from .encoder import TextEncoder

    return TextEncoder(name)


class NameCosine:
    """Cosine between the sentence and each skill's preferred name.

    encode: turns texts into unit vectors, [texts, width].
    """

    def __init__(
        self, taxonomy: Taxonomy, encode: Callable[[Sequence[str]], numpy.ndarray]
    ):
        self.encode = encode
        self.names = encode([skill.name for skill in taxonomy])

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        yield from self.encode([doc.text for doc in docs]) @ self.names.T


class LiteralMatch:
    """Tokens of the longest mention, 0 without one: see ``LiteralMatches``."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        spans_key: str = "esco_matches",
        finder: NameFinder | None = None,
    ):
        self.taxonomy = taxonomy
        self.spans_key = spans_key
        self.finder = finder

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        matches = LiteralMatches(self.spans_key, self.taxonomy, self.finder)
        for doc in docs:
            scores = numpy.zeros(len(self.taxonomy), dtype="float32")
            found = matches.of(doc[:])
            for row, match in found.items():
                scores[row] = match.end - match.start
            yield scores


class NameBM25:
    """BM25 (Lucene's, k1 1.5, b 0.75) of the sentence against the preferred names.

    Words are the tokens of nlp in lower case, without the language's stop words; one that
    is repeated in a sentence counts once, else long sentences rank by their filler.
    Needs the library bm25s, of the extra ``benchmark``.
    """

    def __init__(self, taxonomy: Taxonomy, nlp: Language):
        from bm25s import BM25

        names = [_words(nlp.make_doc(skill.name)) for skill in taxonomy]
        self.index = BM25()
        self.index.index(names, show_progress=False)

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        for doc in docs:
            words = self.index.get_tokens_ids(_words(doc))
            yield self.index.get_scores_from_ids(words)


def _words(doc: Doc) -> list[str]:
    words = [t.lower_ for t in doc if not (t.is_stop or t.is_punct or t.is_space)]
    return list(dict.fromkeys(words))
