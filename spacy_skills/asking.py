"""Which sentences ask for a skill at all: seen before any skill is looked at."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy
from spacy.tokens import Doc, Span
from thinc.api import Model

from .calibration import Calibration, Reader
from .phrases import Marks, Segments, Spanner, mark, sentences
from .skills import Query, Scores

# Sentences that are encoded together, of several docs: texts of like length are then many.
SENTENCES_PER_PASS = 512


class AskingSentence(NamedTuple):
    """A sentence, what the spanner found in it, and the probability that it asks for a skill."""

    span: Span
    marks: Marks
    probability: float


def asking_sentences(
    docs: Sequence[Doc],
    model: Model[Query, Scores],
    spanner: Spanner | None,
    calibration: Calibration | None,
) -> Iterator[AskingSentence]:
    """All sentences of the docs. Without a calibration each asks for a skill."""
    spans = [sentence for doc in docs for sentence in sentences(doc)]
    marks: list[Marks] = []
    alone: list[numpy.ndarray] = []
    for i in range(0, len(spans), SENTENCES_PER_PASS):
        batch = spans[i : i + SENTENCES_PER_PASS]
        found = mark(batch, spanner)
        marks += found
        if calibration is not None:
            vectors = _sentence_vectors(model, batch, found, calibration.reader)
            alone.append(calibration.asking_alone(found, vectors))
    probabilities = numpy.ones(len(spans))
    if calibration is not None and spans:
        number = {id(doc): n for n, doc in enumerate(docs)}
        of_sentences = numpy.array([number[id(span.doc)] for span in spans])
        probabilities = calibration.asking(numpy.concatenate(alone), of_sentences)
    for parts in zip(spans, marks, probabilities.tolist()):
        yield AskingSentence(*parts)


def _sentence_vectors(
    model: Model[Query, Scores],
    sentences: Sequence[Span],
    marks: Sequence[Marks],
    reader: Reader,
) -> numpy.ndarray:
    if reader == "spanner":
        return spanner_vectors(marks)
    # A query for no skill gives the sentences' vectors, and nothing else.
    segments = Segments.of(sentences, marks, None)
    literal = model.ops.alloc2f(len(segments), 0)
    query = Query(segments, literal, model.ops.alloc1i(0))
    return model.ops.to_numpy(model.predict(query).sentences)


def spanner_vectors(marks: Sequence[Marks]) -> numpy.ndarray:
    """[sentences, width]"""
    return numpy.stack([found.vector for found in marks])
