"""Trains a sentence encoder to put a text near the names of the skill it asks for.

Each text of a batch is set against the batch's other skills and against hard negatives,
skills whose names lie near its own: the negatives of Decorte et al. 2022 as candidates of one
softmax (the loss of sentence-transformers' MultipleNegativesRankingLoss).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy
import torch

from .errors import Errors
from .fine_tuning import Order, TextModel, fine_tune
from .neighbours import NeighbourTable, cosine_table
from .taxonomy import Taxonomy

# A nearest neighbour is a likely false negative and a far one teaches little: the rank is
# drawn with this mean.
MEAN_RANK = 8
NEIGHBOURS = 40


@dataclass(frozen=True)
class Settings:
    """hard_negatives: skills near its own that are added to the softmax for each text.
    scale: by which cosines are multiplied in the softmax. share: of the trained weights in
    the average with the first ones. names: share of the skills that stand there with
    their preferred name; the others with an alternative one, if there is one."""

    epochs: float = 1.0
    batch_size: int = 128
    learn_rate: float = 3e-5
    hard_negatives: int = 1
    scale: float = 20.0
    share: float = 0.5
    names: float = 0.6
    seed: int = 0


class Batch(NamedTuple):
    """texts and the rows of their skills; candidates: distinct rows, those of the texts
    among them, and names to stand for them; masked: [texts, candidates], True for
    skills that are no negative of the text."""

    texts: list[str]
    rows: list[int]
    candidates: list[int]
    names: list[str]
    masked: numpy.ndarray


class Batches:
    """The batch of any step, the same whenever it is asked for."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        pairs: Sequence[tuple[str, int]],
        near: NeighbourTable,
        settings: Settings,
    ) -> None:
        """pairs: a text and its skill's row. Raises ValueError for fewer than a batch."""
        if len(pairs) < settings.batch_size:
            raise ValueError(Errors.S704.format(n=len(pairs), size=settings.batch_size))
        self.taxonomy, self.pairs, self.near = taxonomy, pairs, near
        self.settings = settings
        self._order = Order(len(pairs), settings.batch_size, settings.seed)
        self._related = [self._find_related(uri) for uri in taxonomy.uris]

    def __len__(self) -> int:
        return max(1, int(self._order.per_epoch * self.settings.epochs))

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self.settings.seed} {step}")
        texts, rows = zip(*(self.pairs[i] for i in self._order[step]))
        candidates = dict.fromkeys(rows)
        for row in rows:
            candidates.update(dict.fromkeys(self._hard_negatives(row, rng)))
        masked = [[c in self._related[row] for c in candidates] for row in rows]
        names = [self._name(row, rng) for row in candidates]
        return Batch(
            list(texts), list(rows), list(candidates), names, numpy.array(masked)
        )

    def _hard_negatives(self, row: int, rng: random.Random) -> Iterator[int]:
        near, _ = self.near.of(row)
        for _ in range(self.settings.hard_negatives if len(near) else 0):
            yield int(near[min(int(rng.expovariate(1 / MEAN_RANK)), len(near) - 1)])

    def _find_related(self, uri: str) -> set[int]:
        above = self.taxonomy.ancestors(uri)
        return {self.taxonomy.index(u) for u in above if u in self.taxonomy}

    def _name(self, row: int, rng: random.Random) -> str:
        skill = self.taxonomy.skills[row]
        if not skill.alt_names or rng.random() < self.settings.names:
            return skill.name
        return rng.choice(skill.alt_names)


def ranking_loss(
    texts: torch.Tensor, names: torch.Tensor, batch: Batch, scale: float
) -> torch.Tensor:
    """Mean cross-entropy of each text's own skill among the candidates that are not masked.

    texts: [texts, width], names: [candidates, width], of unit length.
    """
    column = {row: i for i, row in enumerate(batch.candidates)}
    targets = torch.tensor([column[row] for row in batch.rows], device=texts.device)
    masked = torch.from_numpy(batch.masked).to(texts.device)
    logits = (scale * texts @ names.T).masked_fill(masked, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, targets)


def train_encoder(
    name: str,
    taxonomy: Taxonomy,
    pairs: Sequence[tuple[str, int]],
    output: Path,
    settings: Settings,
    *,
    device: str = "cpu",
) -> list[float]:
    """Train the transformer of this name, save it in output, and return each step's loss.

    Interrupted, it goes on from the last checkpoint in output, see ``fine_tune``.
    """
    model = TextModel.from_pretrained(name, device)
    near = cosine_table(taxonomy, _encode_names(model, taxonomy), NEIGHBOURS)
    batches = Batches(taxonomy, pairs, near, settings)

    def loss_of(step: int) -> torch.Tensor:
        batch = batches[step]
        texts, names = model(batch.texts), model(batch.names)
        return ranking_loss(texts, names, batch, settings.scale)

    return fine_tune(
        model,
        loss_of,
        len(batches),
        output,
        lambda: model.save(output),
        learn_rate=settings.learn_rate,
        share=settings.share,
        seed=settings.seed,
        settings=(taxonomy.fingerprint, sorted(asdict(settings).items()), pairs),
    )


def _encode_names(model: TextModel, taxonomy: Taxonomy) -> numpy.ndarray:
    model.transformer.eval()
    names = [skill.name for skill in taxonomy]
    with torch.inference_mode():
        return model(names).cpu().numpy()
