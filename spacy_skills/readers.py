"""Readers that turn saved corpora into spaCy's training examples."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.util import registry

from .errors import Errors
from .shards import read_shard

# Fewer words than these say too little to learn from.
MIN_WORDS = 3


@registry.readers("spacy_skills.DistantCorpus.v1")
@dataclass
class DistantCorpus:
    """Examples from the shards that `corpus.build_corpus` writes.

    path: a .spacy file, or a folder of them.
    remove_mention: probability that the matched words are taken out of a sentence, so
        that the skill has to be recognised without its name. If fewer than three words
        would be left, the sentence is skipped (probability 1) or kept as it is.
    max_per_skill: leave out sentences all of whose skills have had this many; 0: none.
    limit: end after this many examples; 0: read all.
    unlabelled: a file or folder of sentences without a skill, which join the others as
        examples without a positive; max_per_skill and remove_mention leave them alone.
    seed: of the order of shards and sentences, and of the removals. Every call gives
        the same examples in the same order; removals depend on the sentence alone.
    spans_key: the span group with the matches.

    Yields an Example for each sentence: `predicted` has its words and one sentence,
    `reference` has one span over the whole doc per skill in `spans["esco_skills"]`,
    with the preferred name as `label_` and the URI as `kb_id_`. One shard is held in
    memory. Raises ValueError (S316, S321-S324), naming the file.
    """

    path: Path | None
    remove_mention: float = 0.0
    max_per_skill: int = 0
    limit: int = 0
    unlabelled: Path | None = None
    seed: int = 0
    spans_key: str = "esco_matches"

    def __post_init__(self) -> None:
        if not 0.0 <= self.remove_mention <= 1.0:
            raise ValueError(
                Errors.S316.format(
                    name="remove_mention",
                    allowed="from 0 to 1",
                    value=self.remove_mention,
                )
            )

    def __call__(self, nlp: Language) -> Iterator[Example]:
        counts: Counter[int] = Counter()
        n_examples = 0
        for doc in self._read_docs(nlp):
            found = doc.spans.get(self.spans_key, ())
            skills = {span.kb_id: span for span in found}
            # Sentences without a skill are of no skill that has had its share.
            if (
                skills
                and self.max_per_skill
                and all(counts[uri] >= self.max_per_skill for uri in skills)
            ):
                continue
            words = self._choose_words(doc)
            if not words:
                continue
            counts.update(skills.keys())
            yield _make_example(doc, words, list(skills.values()))
            n_examples += 1
            if n_examples == self.limit:
                return

    def _read_docs(self, nlp: Language) -> Iterator[Doc]:
        """Shards and their docs in an order of their own, so that limits are fair."""
        rng = random.Random(self.seed)
        shards = [(shard, True) for shard in self._find_shards(self.path)]
        if self.unlabelled is not None:
            shards += [(shard, False) for shard in self._find_shards(self.unlabelled)]
        rng.shuffle(shards)
        for shard, labelled in shards:
            docs = read_shard(shard, nlp.vocab)
            rng.shuffle(docs)
            for doc in docs:
                if bool(doc.spans.get(self.spans_key)) != labelled:
                    error = Errors.S324 if labelled else Errors.S325
                    raise ValueError(error.format(path=shard, key=self.spans_key))
                yield doc

    def _find_shards(self, path: Path | None) -> list[Path]:
        if path is None:
            raise ValueError(Errors.S321)
        path = Path(path)
        shards = sorted(path.glob("*.spacy")) if path.is_dir() else [path]
        if not shards or not shards[0].is_file():
            raise ValueError(Errors.S322.format(path=path))
        return shards

    def _choose_words(self, doc: Doc) -> list[int]:
        """The tokens to keep: all, or those outside the mentions, or none to skip."""
        key = f"{self.seed} {doc.text}".encode()
        chance = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") / 2**64
        if chance >= self.remove_mention or not doc.spans.get(self.spans_key):
            return list(range(len(doc)))
        mentioned = {
            i for span in doc.spans[self.spans_key] for i in range(span.start, span.end)
        }
        rest = [i for i in range(len(doc)) if i not in mentioned]
        if sum(any(map(str.isalpha, doc[i].text)) for i in rest) >= MIN_WORDS:
            return rest
        return [] if self.remove_mention == 1.0 else list(range(len(doc)))


def _make_example(doc: Doc, keep: list[int], skills: list[Span]) -> Example:
    words = [doc[i].text for i in keep]
    spaces = [bool(doc[i].whitespace_) for i in keep]
    starts: list[bool | int | None] = [i == 0 for i in range(len(keep))]
    predicted = Doc(doc.vocab, words=words, spaces=spaces, sent_starts=starts)
    reference = Doc(doc.vocab, words=words, spaces=spaces, sent_starts=starts)
    reference.spans["esco_skills"] = SpanGroup(
        reference,
        name="esco_skills",
        spans=[
            Span(reference, 0, len(keep), label=span.label, kb_id=span.kb_id)
            for span in skills
        ],
    )
    return Example(predicted, reference)
