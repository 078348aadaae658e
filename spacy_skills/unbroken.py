"""Docs of texts with long runs without a blank, for which spaCy's tokenizer would take a time that
is quadratic in the run: it strips brackets, quotes, emoji and the like off one by one."""

import re
from collections.abc import Iterator
from typing import Any

import numpy
from spacy.language import Language
from spacy.tokens import Doc

# Characters; more than the words and nearly all addresses of any language have. Of Chinese, which
# has no blanks, a word is cut at most every so many characters.
MAX_RUN = 500
_LONG_RUN = re.compile(rf"(?<!\S)\S{{{MAX_RUN + 1},}}")


def make_doc(nlp: Language, text: str) -> Doc:
    """As nlp.make_doc, but with a token's end every MAX_RUN characters of a longer run without a
    blank. The doc's text is the text."""
    docs = [nlp.make_doc(piece) for piece in _pieces(text)]
    return docs[0] if len(docs) == 1 else _join(docs)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for run in _LONG_RUN.finditer(text):
        for end in range(run.start() + MAX_RUN, run.end(), MAX_RUN):
            yield text[start:end]
            start = end
    yield text[start:]


def _join(docs: list[Doc]) -> Doc:
    doc = Doc.from_docs(docs, ensure_whitespace=False)
    assert doc is not None
    # To spaCy each piece begins a sentence, and a doc with any bounds would be given no others.
    starts: Any = numpy.zeros((len(doc), 1), dtype="uint64")
    starts[0] = 1
    return doc.from_array(["SENT_START"], starts)
