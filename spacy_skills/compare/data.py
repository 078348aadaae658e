"""Sentences as a frozen encoder's vectors: what a comparison trains and scores on."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model, Ops
from thinc.types import Floats2d, Ints1d
from tqdm import tqdm

from ..batcher import make_pool
from ..encoder import exact
from ..evidence import LiteralMatches
from ..phrases import Segments
from ..ranker import SkillRanker
from ..sampler import SentencePool
from ..skills import Query

SENTENCES_PER_PASS = 256


@dataclass
class VectorSegments:
    """Stands in for Segments where the vectors are known: [segments, width], and where
    each sentence starts."""

    vectors: Floats2d
    starts: list[int]

    def __len__(self) -> int:
        return len(self.starts)


def known_vectors(width: int) -> Model[VectorSegments, Floats2d]:
    """An encoder of VectorSegments: it hands out their vectors."""
    return Model(
        "known_vectors",
        lambda model, segments, is_train: (segments.vectors, lambda d_vectors: []),
        dims={"nO": width},
    )


@dataclass
class EncodedSentences:
    """The sentences of a pool with the vectors of each and of its pieces.

    vectors: [segments, width]; ends: [sentences] where each sentence's segments end.
    literal: each sentence's skills with a literal match, by row, and its strength.
    """

    pool: SentencePool
    vectors: numpy.ndarray
    ends: numpy.ndarray
    literal: list[dict[int, float]]

    def __len__(self) -> int:
        return len(self.ends)

    def without_pieces(self) -> "EncodedSentences":
        """The sentences alone: what the paper's classifiers see."""
        starts = numpy.concatenate([[0], self.ends[:-1]])
        ends = numpy.arange(1, len(self.ends) + 1)
        return EncodedSentences(self.pool, self.vectors[starts], ends, self.literal)

    def query(
        self, ops: Ops, rows: list[int], n_skills: int, skills: Ints1d | None = None
    ) -> Query:
        """These sentences, and the skills to score; None for all."""
        first = [int(self.ends[row - 1]) if row else 0 for row in rows]
        last = [int(self.ends[row]) for row in rows]
        index = numpy.concatenate([numpy.arange(a, b) for a, b in zip(first, last)])
        lengths = numpy.subtract(last, first)
        starts = (numpy.cumsum(lengths) - lengths).tolist()
        n_columns = n_skills if skills is None else len(skills)
        literal = numpy.zeros((len(rows), n_columns), dtype="float32")
        if skills is None:
            for i, row in enumerate(rows):
                for skill, strength in self.literal[row].items():
                    literal[i, skill] = strength
        segments = VectorSegments(ops.asarray2f(self.vectors[index]), starts)
        return Query(segments, ops.asarray2f(literal), skills)  # type: ignore[arg-type]


def encode_examples(
    nlp: Language, ranker: SkillRanker, examples: Iterable[Example], desc: str
) -> EncodedSentences:
    """Encode Examples of one sentence each, in the order of their texts."""
    # As the batcher does, so that a seed draws the same pairs in both.
    examples = [eg for eg in examples if eg.reference.text.strip()]
    examples.sort(key=lambda eg: eg.reference.text)
    pool = make_pool(examples, ranker.cfg["spans_key"])
    encoder = ranker.model.layers[0]
    vectors, lengths = [], []
    literal: list[dict[int, float]] = []
    docs = [_match(nlp, ranker, eg.predicted) for eg in examples]
    key = ranker.cfg["matches_key"]
    matches = LiteralMatches(key, ranker.taxonomy, ranker.finder)
    with tqdm(total=len(docs), desc=desc, unit="sentence") as progress:
        for i in range(0, len(docs), SENTENCES_PER_PASS):
            segments = Segments.from_docs(
                docs[i : i + SENTENCES_PER_PASS], ranker.phrases, ranker.spanner
            )
            # What is compared is the training, which rounds nothing.
            with exact(encoder):
                vectors.append(encoder.ops.to_numpy(encoder.predict(segments)))
            bounds = [*segments.starts, len(segments.spans)]
            lengths.extend(numpy.diff(bounds).tolist())
            for sentence in segments.sentences:
                found = matches.of(sentence)
                literal.append({row: m.strength for row, m in found.items()})
            progress.update(len(segments))
    return EncodedSentences(
        pool, numpy.concatenate(vectors), numpy.cumsum(lengths), literal
    )


def _match(nlp: Language, ranker: SkillRanker, doc: Doc) -> Doc:
    for name, pipe in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "esco_matcher":
            doc = pipe(doc)
    return doc
