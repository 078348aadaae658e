"""The component ``esco_skills``: ranks every skill of the taxonomy for every sentence."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d, Ints1d

from .annotations import set_spans, skill_records
from .asking import AskingSentence, asking_sentences
from .decision import Candidate, Proposal, decide, propose
from .errors import Errors
from .evidence import LiteralMatch, LiteralMatches
from .linear import set_known
from .loss import masked_cross_entropy
from .phrases import PhraseFunction, Segments
from .saving import SavedRanker
from .shortlist import SENTENCES_PER_PASS, best_skills, sentences_per_pass
from .skills import (
    Query,
    Scores,
    literal_matrix,
    log_prior,
    set_skills,
    skill_vectors,
)
from .taxonomy import Taxonomy

if TYPE_CHECKING:
    from .spanner import SkillSpanner


class SkillRanker(SavedRanker):
    """``doc.spans["esco_skills"]``: a span per (sentence, skill), best first within a
    sentence. The span is the evidence (the literal match or the best piece), ``label_``
    the preferred name, ``kb_id_`` the URI, ``attrs["scores"]`` the probabilities.
    ``doc._.skills``: the doc's skills as plain data, see ``SkillRecord``.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "esco_skills",
        *,
        phrases: PhraseFunction,
        top_k: int = 5,
        threshold: float = 0.5,
        precision: float | None = None,
        group_level: int = 2,
        spans_key: str = "esco_skills",
        negatives_key: str = "esco_negatives",
        matches_key: str = "esco_matches",
        scorer: Callable | None = None,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.phrases = phrases
        self.finder = None
        self.spanner = None
        self.calibration = None
        self.scorer = scorer
        self.cfg: dict[str, Any] = {
            "top_k": top_k,
            "threshold": threshold,
            "precision": precision,
            "group_level": group_level,
            "spans_key": spans_key,
            "negatives_key": negatives_key,
            "matches_key": matches_key,
        }
        self._taxonomy: Taxonomy | None = None
        self._counts: dict[str, int] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """URIs of all skills, in the order of the classifiers."""
        return tuple(self._taxonomy.uris) if self._taxonomy is not None else ()

    @property
    def hide_labels(self) -> bool:
        # 14k URIs would make up most of every meta.json.
        return True

    @property
    def label_data(self) -> dict[str, int]:
        """How many sentences name each skill: what ``initialize`` takes as labels."""
        return self._counts

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language,
        taxonomy: Taxonomy | None = None,
        labels: dict[str, int] | None = None,
        texts: dict[str, list[str]] | None = None,
        spanner: Callable | None = None,
        cache: Path | None = None,
    ) -> None:
        """Start every classifier from the encoder's vectors of its skill's names.

        taxonomy: its skills. A component that has some, such as a pretrained one, keeps
            them and its classifiers if None; else ValueError.
        labels: sentences that name each skill, by URI, as the corpus command and ``spacy
            init labels`` write them; counted in the examples if None.
        texts: more texts that ask for a skill, by URI, as ``read_skill_texts`` reads them;
            their mean vector counts as much as the names'.
        spanner: finds words that ask for a skill, which are scored beside the pieces of
            the phrase function; see ``read_spanner``.
        cache: folder that keeps a frozen encoder's vectors between runs.
        """
        if taxonomy is None and self._taxonomy is not None:
            return
        # Brings the transformers library, which costs seconds to import.
        from .encoder import attach_cache, encode_texts

        if taxonomy is None or not len(taxonomy):
            raise ValueError(Errors.S004.format(name=self.name))
        self._taxonomy = taxonomy
        self._counts = self._count(get_examples) if labels is None else dict(labels)
        self.model.initialize()
        encoder, classifiers = self.model.layers[0], self.model.layers[-1]
        if cache is not None:
            attach_cache(encoder, cache)

        def encode(texts: list[str]) -> Floats2d:
            return encode_texts(encoder, texts, nlp, desc="Skill names")

        counts = numpy.asarray([self._counts.get(uri, 0) for uri in taxonomy.uris])
        if classifiers.has_param("names") is not False:
            vectors = skill_vectors(taxonomy, encode, texts)
            set_skills(classifiers, vectors, log_prior(counts))
        else:
            set_known(classifiers, counts)
        # It was of other weights.
        self.calibration = None
        if spanner is not None:
            self.spanner = cast("SkillSpanner", spanner)
        if self.finder is not None:
            self.finder.add_names(taxonomy, nlp.tokenizer, {})

    def _count(self, get_examples: Callable[[], Iterable[Example]]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for example in get_examples():
            gold = example.reference.spans.get(self.cfg["spans_key"], ())
            counts.update({span.kb_id_ for span in gold} & set(self.labels))
        return dict(counts)

    @property
    def threshold(self) -> float:
        """The least probability of a skill that is given. Raises ValueError if a precision is
        wanted that the calibration does not reach, or there is none."""
        precision = self.cfg["precision"]
        if precision is None:
            return self.cfg["threshold"]
        if self.calibration is None:
            raise ValueError(Errors.S901.format(name=self.name))
        return self.calibration.threshold(precision)

    def predict(self, docs: Iterable[Doc]) -> list[list[Candidate]]:
        """The best skills of each doc's sentences, in the sentences' order.

        Sentences that are not probable enough to ask for a skill are not ranked: no skill of
        theirs would reach the threshold.
        """
        docs = list(docs)
        threshold = self.threshold
        found: dict[int, list[Candidate]] = {id(doc): [] for doc in docs}
        asking = list(
            asking_sentences(docs, self.model, self.spanner, self.calibration)
        )
        asking = [sentence for sentence in asking if sentence.probability >= threshold]
        literal = self._literal_matches()
        size = sentences_per_pass(self.model)
        for i in range(0, len(asking), size):
            batch = asking[i : i + size]
            for sentence, proposal in zip(batch, self._propose(batch, literal)):
                found[id(sentence.span.doc)] += decide(proposal, threshold)
        return [found[id(doc)] for doc in docs]

    def _propose(
        self, asking: Sequence[AskingSentence], literal: LiteralMatches
    ) -> Iterator[Proposal]:
        spans, marks, probabilities = zip(*asking)
        segments = Segments.of(spans, marks, self.phrases)
        matches = [literal.of(span) for span in spans]
        strengths = [_strengths(of_sentence) for of_sentence in matches]
        ranked = best_skills(self.model, segments, strengths, self.cfg["top_k"])
        return propose(segments, ranked, matches, probabilities, self.calibration)

    def rank(self, docs: Iterable[Doc]) -> Iterator[tuple[Span, numpy.ndarray]]:
        """Every sentence of docs that have been through the pipes before this one, with
        its logits over all skills, float32 [len(labels)]."""
        for scores, _ in self.scored(docs):
            yield from zip(scores.query.segments.sentences, scores.logits)

    def set_annotations(
        self, docs: Iterable[Doc], scores: list[list[Candidate]]
    ) -> None:
        level = self.cfg["group_level"]
        for doc, candidates in zip(docs, scores):
            set_spans(doc, candidates, self.taxonomy, self.cfg["spans_key"])
            doc._.skills = skill_records(doc, candidates, self.taxonomy, level)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from the (sentence, skill) pairs that the batcher chose."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "SkillRanker.update")
        rows = sorted({row for eg in examples for row, _, _ in self._pairs(eg)})
        docs = [eg.predicted for eg in examples]
        segments = Segments.from_docs(docs, self.phrases, self.spanner)
        if not rows or not len(segments):
            return losses
        set_dropout_rate(self.model, drop)
        literal = self._literal_matches()
        matches = [literal.of(sentence) for sentence in segments.sentences]
        query = self._query(segments, matches, self.model.ops.asarray1i(rows))
        scores, backprop = self.model.begin_update(query)
        loss, d_logits = self.get_loss(examples, scores)
        backprop(d_logits)
        if sgd is not None:
            self.finish_update(sgd)
            # It is of the weights as they were.
            self.calibration = None
        losses[self.name] += loss
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Scores
    ) -> tuple[float, Floats2d]:
        """Mean binary cross-entropy over the chosen pairs, and its gradient.

        A sentence is a positive for the skills of ``reference.spans["esco_skills"]`` that
        overlap it, a negative for those of ``reference.spans["esco_negatives"]``; no other
        pair counts. Raises ValueError if no batcher has chosen negatives.
        """
        examples = list(examples)
        negatives_key = self.cfg["negatives_key"]
        if not any(negatives_key in eg.reference.spans for eg in examples):
            raise ValueError(Errors.S005.format(key=negatives_key))
        ops = self.model.ops
        columns = {int(row): i for i, row in enumerate(scores.query.rows)}
        labels = numpy.zeros(scores.logits.shape, dtype="float32")
        mask = numpy.zeros(scores.logits.shape, dtype="float32")
        by_doc: dict[int, list[tuple[int, Span]]] = {}
        for i, sentence in enumerate(scores.query.segments.sentences):
            by_doc.setdefault(id(sentence.doc), []).append((i, sentence))
        for example in examples:
            for row, span, label in self._pairs(example):
                for i, sentence in by_doc.get(id(example.predicted), ()):
                    if _overlap(span, sentence):
                        mask[i, columns[row]] = 1.0
                        labels[i, columns[row]] = max(labels[i, columns[row]], label)
        d_logits, loss = masked_cross_entropy(
            ops, scores.logits, ops.asarray2f(labels), ops.asarray2f(mask)
        )
        return loss, d_logits

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Rank all skills for every sentence, whatever top_k and threshold are."""
        if self.scorer is None:
            return {}
        return self.scorer(examples, rank=self.rank, labels=self.labels, **kwargs)

    def scored(
        self, docs: Iterable[Doc]
    ) -> Iterator[tuple[Scores, list[dict[int, LiteralMatch]]]]:
        """What the model says of some sentences at a time, numpy's arrays, over all skills;
        and each sentence's literal matches."""
        n_skills = len(self.taxonomy)
        literal = self._literal_matches()
        for segments in Segments.stream(
            docs, self.phrases, SENTENCES_PER_PASS, self.spanner
        ):
            matches = [literal.of(sentence) for sentence in segments.sentences]
            scores = self.model.predict(self._query(segments, matches))
            assert scores.logits.shape == (len(segments), n_skills)
            yield scores.to_cpu(self.model.ops), matches

    def _query(
        self,
        segments: Segments,
        matches: list[dict[int, LiteralMatch]],
        rows: Ints1d | None = None,
    ) -> Query:
        strengths = [_strengths(of_sentence) for of_sentence in matches]
        chosen = None if rows is None else [int(row) for row in rows]
        literal = literal_matrix(strengths, chosen, len(self.taxonomy))
        return Query(segments, self.model.ops.asarray2f(literal), rows)

    def _literal_matches(self) -> LiteralMatches:
        return LiteralMatches(self.cfg["matches_key"], self.taxonomy, self.finder)

    def _pairs(self, example: Example) -> Iterator[tuple[int, Span, float]]:
        """(skill's row, span of the reference, 1 for a positive or 0 for a negative)."""
        spans = example.reference.spans
        for key, label in (
            (self.cfg["spans_key"], 1.0),
            (self.cfg["negatives_key"], 0.0),
        ):
            for span in spans.get(key, ()):
                if span.kb_id_ not in self.taxonomy:
                    raise ValueError(Errors.S006.format(uri=span.kb_id_, key=key))
                yield self.taxonomy.index(span.kb_id_), span, label


def _strengths(matches: Mapping[int, LiteralMatch]) -> dict[int, float]:
    return {row: match.strength for row, match in matches.items()}


def _overlap(span: Span, sentence: Span) -> bool:
    return span.start_char < sentence.end_char and sentence.start_char < span.end_char
