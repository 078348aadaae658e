"""Trains a spanner on sentences in which people have marked skills and knowledge."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import srsly
import torch
from tqdm import tqdm

from .errors import Errors
from .fine_tuning import trainable
from .lines import MAX_HELD, Lines
from .spanner import BEGIN, INSIDE, OUTSIDE, SkillSpanner

TAGS = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE}
COLUMNS = ("tags_skill", "tags_knowledge")
WARM_UP_STEPS = 40
# How many batches are sorted by length at a time.
BATCHES_PER_POOL = 20
IGNORED = -100


class MarkedSentence(NamedTuple):
    """Tokens, and for each the tags (OUTSIDE, BEGIN or INSIDE) of skill and knowledge. ad: what
    sentences of one whole ad, which follow each other, have in common."""

    words: list[str]
    tags: list[tuple[int, int]]
    ad: str | None = None


@dataclass(frozen=True)
class Settings:
    epochs: int = 5
    batch_size: int = 32
    learn_rate: float = 1.5e-4
    head_rate: float = 1e-3
    seed: int = 0


def read_marked(
    path: Path, exclude: Collection[str] = (), *, repeated: bool = False
) -> list[MarkedSentence]:
    """SkillSpan's JSONL, plain or gzipped: a line with tokens, tags_skill and tags_knowledge a
    sentence, and perhaps ad.

    exclude: sentences that are left out, compared by their letters and digits alone.
    Repeated ones are left out too, but for repeated. Raises ValueError naming file and line.
    """
    seen = {_letters(text) for text in exclude}
    found = []
    if not path.is_file():
        raise ValueError(Errors.S802.format(path=path))
    for number, line in enumerate(Lines(path, max_bytes=MAX_HELD), 1):
        try:
            row = srsly.json_loads(line)
            words = [str(word) for word in row["tokens"]]
            columns = [[TAGS[tag[0]] for tag in row[name]] for name in COLUMNS]
            tags = list(zip(*columns, strict=True))
            ad = None if row.get("ad") is None else str(row["ad"])
            sentence = MarkedSentence(words, tags, ad)
            if len(tags) != len(words):
                raise ValueError("as many tags as tokens are needed")
        except (KeyError, TypeError, ValueError, IndexError) as err:
            raise ValueError(
                Errors.S803.format(path=path, line=number, reason=err)
            ) from err
        letters = _letters(" ".join(words))
        if letters not in seen:
            found.append(sentence)
            if not repeated:
                seen.add(letters)
    return found


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def train_spanner(
    spanner: SkillSpanner, sentences: Sequence[MarkedSentence], settings: Settings
) -> list[float]:
    """Train in place; the mean loss of each epoch. The embeddings stay as they are."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    # Anew, since it was made before the seed was set.
    spanner.head.reset_parameters()
    layers = trainable(spanner.transformer)
    groups = [
        {"params": layers, "lr": settings.learn_rate},
        {"params": spanner.head.parameters(), "lr": settings.head_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = settings.epochs * -(-len(sentences) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARM_UP_STEPS, (steps - s) / steps)
    )
    spanner.transformer.train()
    losses = []
    with tqdm(total=steps, desc="Steps") as progress:
        for _ in range(settings.epochs):
            total = 0.0
            for batch in _batches(sentences, settings.batch_size, rng):
                loss = _loss(spanner, batch)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(layers, 1.0)
                optimizer.step()
                schedule.step()
                total += loss.item() * len(batch) / len(sentences)
                progress.update()
            losses.append(total)
            progress.set_postfix(loss=f"{total:.3f}")
    spanner.transformer.eval()
    return losses


def _batches(
    sentences: Sequence[MarkedSentence], size: int, rng: random.Random
) -> Iterator[list[MarkedSentence]]:
    """Every sentence once; those of like length share a batch, so that little is padding."""
    order = list(sentences)
    rng.shuffle(order)
    batches = []
    for i in range(0, len(order), size * BATCHES_PER_POOL):
        pool = order[i : i + size * BATCHES_PER_POOL]
        pool.sort(key=lambda sentence: len(sentence.words))
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    rng.shuffle(batches)
    yield from batches


def _loss(spanner: SkillSpanner, batch: Sequence[MarkedSentence]) -> torch.Tensor:
    """Cross-entropy of the tags, the sum over the two layers of the mean over tokens."""
    device = next(spanner.transformer.parameters()).device
    with torch.autocast(device.type, torch.bfloat16):
        logits, firsts = spanner.tag([sentence.words for sentence in batch])
    gold = torch.full(logits.shape[:3], IGNORED, dtype=torch.long)
    for i, (sentence, places) in enumerate(zip(batch, firsts)):
        for token, piece in places.items():
            gold[i, piece] = torch.tensor(sentence.tags[token])
    losses: list[Any] = [
        torch.nn.functional.cross_entropy(
            logits[:, :, layer].reshape(-1, 3).float(),
            gold[:, :, layer].reshape(-1).to(device),
            ignore_index=IGNORED,
        )
        for layer in range(gold.shape[2])
    ]
    return sum(losses[1:], losses[0])
