"""Tunes a ranker's encoder on spans whose skills were judged.

The skills' vectors stay; it is the vectors of what ads say that move. Each span is set against
the candidates that were judged with it, so that its negatives are what the ranker itself took
for likely. Texts written for skills are met beside them, against the batch's other skills and
those with near vectors: few skills have judged spans, and the others are not to be forgotten.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from .errors import Errors
from .fine_tuning import Order, TextModel, fine_tune
from .judged import JudgedSpan
from .neighbours import NeighbourTable, cosine_table
from .ranker import SkillRanker
from .skills import START_WEIGHTS
from .taxonomy import Taxonomy

# What the ranker's logit has for a sentence that is one piece.
SCALE = START_WEIGHTS["sentence"] + START_WEIGHTS["phrase"]
NEIGHBOURS = 24
# Of two skills that meet in a batch by chance, with vectors as close as this, none is a
# negative for the other's texts. Neighbours, which are chosen, are negatives however close.
SAME = 0.8


@dataclass(frozen=True)
class Settings:
    """In each step so many judged spans, sentences of theirs as a whole, and written texts,
    or as many as there are. share: of the trained weights in the average with the first ones."""

    steps: int = 600
    spans: int = 96
    sentences: int = 16
    texts: int = 64
    learn_rate: float = 5e-5
    share: float = 0.6
    seed: int = 0


class Skills(NamedTuple):
    """vectors [skills, width] of unit length, prior [skills] as it stands in the logit."""

    vectors: torch.Tensor
    prior: torch.Tensor


class Judged(NamedTuple):
    """A span, its sentence, and the rows of the skills that were chosen and rejected."""

    text: str
    sentence: str
    chosen: list[int]
    rejected: list[int]


def tune_encoder(
    ranker: SkillRanker,
    spans: Sequence[JudgedSpan],
    pairs: Sequence[tuple[str, int]],
    output: Path,
    save: Callable[[], object],
    settings: Settings,
    *,
    device: str = "cpu",
) -> list[float]:
    """Train the ranker's encoder in place, and return each step's loss.

    pairs: written texts and the rows of their skills. output: folder of the checkpoint, save:
    saves the ranker, see ``fine_tune``. Raises ValueError if the ranker is not one of names
    that nothing has been trained of but the encoder, or without spans or texts of its skills.
    """
    encoder = ranker.model.layers[0]
    if not _untrained(ranker):
        raise ValueError(Errors.S709)
    transformer: Any = encoder.layers[0]
    model = TextModel(transformer.tokenizer, transformer.transformer, device)
    losses = TuningLosses(model, ranker, spans, pairs, settings)
    skills = blake2b(b"".join(t.cpu().numpy().tobytes() for t in losses.skills))
    known = (skills.hexdigest(), asdict(settings), losses.judged, pairs)

    def finish() -> None:
        model.transformer.to("cpu")  # type: ignore[arg-type]
        save()

    # What it may hold are vectors of the weights as they were.
    encoder.attrs["cache"] = None
    try:
        return fine_tune(
            model,
            losses,
            settings.steps,
            output,
            finish,
            learn_rate=settings.learn_rate,
            share=settings.share,
            seed=settings.seed,
            settings=known,
        )
    finally:
        model.transformer.to("cpu")  # type: ignore[arg-type]


def _untrained(ranker: SkillRanker) -> bool:
    """Whether its logits are those that the losses here are of."""
    encoder, *projection, classifiers = ranker.model.layers
    if encoder.name != "transformer_encoder" or not classifiers.has_param("names"):
        return False
    moved = [layer.get_param(name) for layer in projection for name in ("W", "b")]
    moved.append(classifiers.get_param("weights"))
    if classifiers.has_param("offset"):
        moved.append(classifiers.get_param("offset"))
    return not any(param.any() for param in moved)


class TuningLosses:
    """The loss of any step."""

    def __init__(
        self,
        model: TextModel,
        ranker: SkillRanker,
        spans: Sequence[JudgedSpan],
        pairs: Sequence[tuple[str, int]],
        settings: Settings,
    ) -> None:
        self.model, self.pairs, self.settings = model, pairs, settings
        judged = [judged_rows(span, ranker.taxonomy) for span in spans]
        self.judged = [item for item in judged if item.chosen and item.rejected]
        if not self.judged or not pairs:
            raise ValueError(Errors.S710.format(n=len(self.judged), texts=len(pairs)))
        self.skills, vectors = _skills(ranker, model.device)
        self.near = cosine_table(ranker.taxonomy, vectors, NEIGHBOURS)
        self._spans, self._texts = (
            Order(n, min(n, size), settings.seed)
            for n, size in (
                (len(self.judged), settings.spans),
                (len(pairs), settings.texts),
            )
        )

    def __call__(self, step: int) -> torch.Tensor:
        spans = [self.judged[i] for i in self._spans[step]]
        whole = spans[: self.settings.sentences]
        written = [self.pairs[i] for i in self._texts[step]]
        texts = [item.text for item in spans] + [item.sentence for item in whole]
        vectors = self.model(texts + [text for text, _ in written])
        of_spans = vectors[: len(spans)]
        of_whole = vectors[len(spans) : len(texts)]
        loss = judged_loss(of_spans, spans, self.skills)
        if whole:
            loss = loss + judged_loss(of_whole, whole, self.skills) / 2
        rows = [row for _, row in written]
        of_texts = vectors[len(texts) :]
        return loss + written_loss(of_texts, rows, self.skills.vectors, self.near) / 2


def _skills(ranker: SkillRanker, device: str) -> tuple[Skills, numpy.ndarray]:
    classifiers, ops = ranker.model.layers[-1], ranker.model.ops
    vectors, prior = (
        ops.to_numpy(classifiers.get_param(name)) for name in ("names", "prior")
    )
    prior = START_WEIGHTS["prior"] * prior
    tensors = (torch.from_numpy(numpy.array(a)).to(device) for a in (vectors, prior))
    return Skills(*tensors), vectors


def judged_rows(span: JudgedSpan, taxonomy: Taxonomy) -> Judged:
    """The span with the rows of its skills; those that the taxonomy lacks are left out."""
    chosen, rejected = (
        [taxonomy.index(uri) for uri in uris if uri in taxonomy]
        for uris in (span.chosen, span.rejected)
    )
    return Judged(span.text, span.sentence, chosen, rejected)


def judged_loss(
    vectors: torch.Tensor, items: Sequence[Judged], skills: Skills
) -> torch.Tensor:
    """Mean cross-entropy of the chosen skills, in equal parts, among the candidates.

    vectors: of the items, [items, width], of unit length.
    """
    losses = []
    for vector, item in zip(vectors, items):
        rows = [*item.chosen, *item.rejected]
        logits = SCALE * skills.vectors[rows] @ vector + skills.prior[rows]
        chosen = torch.log_softmax(logits, dim=0)[: len(item.chosen)]
        losses.append(-chosen.mean())
    return torch.stack(losses).mean()


def written_loss(
    vectors: torch.Tensor,
    rows: Sequence[int],
    skills: torch.Tensor,
    near: NeighbourTable,
) -> torch.Tensor:
    """Mean cross-entropy of the texts' own skills among the neighbours of each and the
    batch's skills, but for those that are the same by their vectors. One that is both
    counts twice.

    vectors: of the texts, [texts, width], of unit length. rows: of their skills. skills:
    vectors of all, [skills, width].
    """
    losses = []
    of_batch = sorted(set(rows))
    cosines = skills[list(rows)] @ skills[of_batch].T
    for vector, row, close in zip(vectors, rows, cosines.tolist()):
        others = [r for r, cosine in zip(of_batch, close) if cosine <= SAME]
        candidates = [row, *others, *map(int, near.of(row)[0])]
        logits = SCALE * skills[candidates] @ vector
        losses.append(-torch.log_softmax(logits, dim=0)[0])
    return torch.stack(losses).mean()
