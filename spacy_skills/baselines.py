"""Rankers without training, to compare against: name vectors, literal match and BM25.

Each is called with a batch of docs, one sentence each, and yields a sentence's scores over
all skills, [skills], higher is better.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy
from spacy.language import Language
from spacy.tokens import Doc

from .taxonomy import Taxonomy


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
    """Tokens of the longest mention that ``esco_matcher`` found, 0 without one."""

    def __init__(self, taxonomy: Taxonomy, spans_key: str = "esco_matches"):
        self.taxonomy = taxonomy
        self.spans_key = spans_key

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        for doc in docs:
            scores = numpy.zeros(len(self.taxonomy), dtype="float32")
            for span in doc.spans.get(self.spans_key, ()):
                if span.kb_id_ in self.taxonomy:
                    row = self.taxonomy.index(span.kb_id_)
                    scores[row] = max(scores[row], len(span))
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
