"""Trains a sentence encoder to put a text near the names of the skill it asks for.

Each text of a batch is set against the batch's other skills and against hard negatives,
skills whose names lie near its own: the negatives of Decorte et al. 2022 as candidates of one
softmax (the loss of sentence-transformers' MultipleNegativesRankingLoss). At the end the weights
are averaged with those from before (Wortsman et al. 2022, "Robust fine-tuning"), which keeps what
the encoder knew of texts unlike those trained on.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from .encoder import mean_pool
from .errors import Errors
from .neighbours import NeighbourTable, cosine_table
from .taxonomy import Taxonomy

CHECKPOINT_EVERY = 100
TEXTS_PER_CALL = 64
MAX_WORDPIECES = 64
WARM_UP = 0.1
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
        self.per_epoch = len(pairs) // settings.batch_size
        self._order: tuple[int, numpy.ndarray] | None = None
        self._related = [self._find_related(uri) for uri in taxonomy.uris]

    def __len__(self) -> int:
        return max(1, int(self.per_epoch * self.settings.epochs))

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self.settings.seed} {step}")
        epoch, place = divmod(step, self.per_epoch)
        start = place * self.settings.batch_size
        chosen = self._epoch(epoch)[start : start + self.settings.batch_size]
        texts, rows = zip(*(self.pairs[i] for i in chosen))
        candidates = dict.fromkeys(rows)
        for row in rows:
            candidates.update(dict.fromkeys(self._hard_negatives(row, rng)))
        masked = [[c in self._related[row] for c in candidates] for row in rows]
        names = [self._name(row, rng) for row in candidates]
        return Batch(
            list(texts), list(rows), list(candidates), names, numpy.array(masked)
        )

    def _epoch(self, epoch: int) -> numpy.ndarray:
        if self._order is None or self._order[0] != epoch:
            rng = numpy.random.default_rng([self.settings.seed, epoch])
            self._order = (epoch, rng.permutation(len(self.pairs)))
        return self._order[1]

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


class TextModel:
    """A transformer whose vectors are the mean over all wordpieces, of unit length."""

    def __init__(self, name: str, device: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        self.transformer = AutoModel.from_pretrained(name).to(device)
        self.device = device

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, width]; texts of like length share a call, so that little is padding."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = [
            order[i : i + TEXTS_PER_CALL] for i in range(0, len(order), TEXTS_PER_CALL)
        ]
        vectors = torch.cat([self._encode([texts[i] for i in part]) for part in parts])
        places = torch.empty(len(order), dtype=torch.long)
        places[torch.tensor(order)] = torch.arange(len(order))
        return vectors[places.to(self.device)]

    def _encode(self, texts: list[str]) -> torch.Tensor:
        pieces = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=MAX_WORDPIECES,
            return_tensors="pt",
        ).to(self.device)
        # bfloat16 halves the time on CPUs and GPUs that know it.
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            hidden = self.transformer(**pieces).last_hidden_state
        pooled = mean_pool(hidden, pieces["attention_mask"])
        return torch.nn.functional.normalize(pooled, dim=1)

    def save(self, path: Path) -> None:
        """A folder that transformers loads."""
        self.transformer.save_pretrained(path)
        self.tokenizer.save_pretrained(path)


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

    Interrupted, it goes on from the last checkpoint in output when called again with the
    same arguments; with others it raises ValueError.
    """
    torch.manual_seed(settings.seed)
    model = TextModel(name, device)
    first = {k: v.clone() for k, v in model.transformer.state_dict().items()}
    near = cosine_table(taxonomy, _encode_names(model, taxonomy), NEIGHBOURS)
    batches = Batches(taxonomy, pairs, near, settings)
    weights = trainable(model.transformer)
    optimizer = torch.optim.AdamW(weights, lr=settings.learn_rate, weight_decay=0.01)
    run = _Run(output, model, optimizer, _digest(name, taxonomy, pairs, settings))
    losses = run.resume()
    model.transformer.train()
    with tqdm(total=len(batches), initial=len(losses), desc="Steps") as progress:
        for step in range(len(losses), len(batches)):
            for group in optimizer.param_groups:
                group["lr"] = settings.learn_rate * _schedule(step, len(batches))
            batch = batches[step]
            # Dropout, too, is to be the same after a resume.
            torch.manual_seed(hash((settings.seed, step)))
            loss = ranking_loss(
                model(batch.texts), model(batch.names), batch, settings.scale
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            losses.append(loss.item())
            progress.update()
            progress.set_postfix(loss=f"{numpy.mean(losses[-50:]):.3f}")
            if len(losses) % CHECKPOINT_EVERY == 0:
                run.save(losses)
    model.transformer.load_state_dict(
        average(first, model.transformer.state_dict(), settings.share)
    )
    model.transformer.eval()
    model.save(output)
    run.finish()
    return losses


def trainable(transformer: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights of the layers. Those of the embeddings stay, so that models made of the
    same transformer share them; those of the pooler are not used."""
    return [
        weights
        for name, weights in transformer.named_parameters()
        if not name.startswith(("embeddings.", "pooler."))
    ]


def average(
    first: dict[str, torch.Tensor], last: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Weights that lie the share of the way from the first ones to the last."""
    return {
        name: torch.lerp(first[name], value, share)
        if value.is_floating_point()
        else value
        for name, value in last.items()
    }


def _encode_names(model: TextModel, taxonomy: Taxonomy) -> numpy.ndarray:
    model.transformer.eval()
    names = [skill.name for skill in taxonomy]
    with torch.inference_mode():
        return model(names).cpu().numpy()


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: rises at first, then falls to 0."""
    warm_up = max(1, int(WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def _digest(name: str, taxonomy: Taxonomy, pairs: Any, settings: Settings) -> str:
    parts = (name, taxonomy.fingerprint, sorted(asdict(settings).items()), pairs)
    return blake2b(repr(parts).encode("utf8"), digest_size=16).hexdigest()


class _Run:
    """The checkpoint of a training run."""

    def __init__(
        self, output: Path, model: TextModel, optimizer: Any, digest: str
    ) -> None:
        self.path = output / "checkpoint.pt"
        self.model, self.optimizer, self.digest = model, optimizer, digest
        output.mkdir(parents=True, exist_ok=True)

    def resume(self) -> list[float]:
        """Load the last checkpoint; the losses up to there, none without one."""
        if not self.path.exists():
            return []
        saved = torch.load(self.path, map_location=self.model.device, weights_only=True)
        if saved["digest"] != self.digest:
            raise ValueError(Errors.S705.format(path=self.path))
        self.model.transformer.load_state_dict(saved["transformer"])
        self.optimizer.load_state_dict(saved["optimizer"])
        return saved["losses"]

    def save(self, losses: list[float]) -> None:
        state = {
            "digest": self.digest,
            "transformer": self.model.transformer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": losses,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)

    def finish(self) -> None:
        self.path.unlink(missing_ok=True)
