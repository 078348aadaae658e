"""What the trainings of a transformer have in common: one run from its weights to better ones.

At the end the weights are averaged with those from before (Wortsman et al. 2022, "Robust
fine-tuning"), which keeps what the transformer knew of texts unlike those trained on.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from .errors import Errors
from .files import write_file
from .inference import mean_pool
from .saved_transformers import read_tensors

CHECKPOINT_EVERY = 100
TEXTS_PER_CALL = 64
MAX_WORDPIECES = 64
WARM_UP = 0.1


class TextModel:
    """A transformer whose vectors are the mean over all wordpieces, of unit length."""

    def __init__(
        self, tokenizer: Any, transformer: PreTrainedModel, device: str
    ) -> None:
        """device: as torch names it. Raises ValueError if there is no GPU for "cuda"."""
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ValueError(Errors.S712.format(device=device))
        self.tokenizer = tokenizer
        self.transformer = transformer.to(device)  # type: ignore[arg-type]
        self.device = device

    @classmethod
    def from_pretrained(cls, name: str, device: str) -> "TextModel":
        """name: hub name or local folder. Raises OSError or ValueError if there is none."""
        transformer = AutoModel.from_pretrained(name, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return cls(tokenizer, transformer, device)

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
        """A folder that transformers loads. Raises OSError if it can't be written."""
        try:
            self.transformer.save_pretrained(path)
        except SafetensorError as err:
            raise OSError(Errors.S024.format(path=path, reason=err)) from err
        self.tokenizer.save_pretrained(path)


class Order:
    """Which items are met in which step: all of them once in an epoch, in a new order in
    each. A rest that fills no batch is left out."""

    def __init__(self, n_items: int, batch_size: int, seed: int) -> None:
        self.per_epoch = n_items // batch_size
        self._n_items, self._size, self._seed = n_items, batch_size, seed
        self._epoch: tuple[int, numpy.ndarray] | None = None

    def __getitem__(self, step: int) -> list[int]:
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            rng = numpy.random.default_rng([self._seed, epoch])
            self._epoch = (epoch, rng.permutation(self._n_items))
        start = place * self._size
        return self._epoch[1][start : start + self._size].tolist()


def fine_tune(
    model: TextModel,
    loss_of: Callable[[int], torch.Tensor],
    steps: int,
    output: Path,
    save: Callable[[], object],
    *,
    learn_rate: float,
    share: float,
    seed: int,
    settings: Any,
) -> list[float]:
    """Train the model in place, and return each step's loss.

    loss_of: the loss of a step, the same whenever it is asked for. output: folder of the
    checkpoint. save: called at the end, before the checkpoint is deleted. share: of the
    trained weights in the average with the first ones. settings: whatever else the losses
    depend on.
    Interrupted, it goes on from the checkpoint when called again with the same settings;
    with others, or if the checkpoint is damaged, it raises ValueError.
    """
    first = {k: v.clone() for k, v in model.transformer.state_dict().items()}
    digest = _digest((steps, learn_rate, share, seed, settings), first)
    run = _Run(output, model, learn_rate, digest)
    try:
        losses = _train(run, loss_of, steps, learn_rate, seed)
        last = model.transformer.state_dict()
        model.transformer.load_state_dict(average(first, last, share))
    except BaseException:
        model.transformer.load_state_dict(first)
        raise
    finally:
        model.transformer.eval()
    save()
    run.finish()
    return losses


def _train(
    run: "_Run",
    loss_of: Callable[[int], torch.Tensor],
    steps: int,
    learn_rate: float,
    seed: int,
) -> list[float]:
    losses = run.resume()
    run.model.transformer.train()
    with tqdm(total=steps, initial=len(losses), desc="Steps") as progress:
        for step in range(len(losses), steps):
            for group in run.optimizer.param_groups:
                group["lr"] = learn_rate * _schedule(step, steps)
            # Dropout, too, is to be the same after a resume.
            torch.manual_seed(hash((seed, step)))
            loss = loss_of(step)
            run.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(run.weights, 1.0)
            run.optimizer.step()
            losses.append(loss.item())
            progress.update()
            progress.set_postfix(loss=f"{numpy.mean(losses[-50:]):.3f}")
            if len(losses) % CHECKPOINT_EVERY == 0:
                run.save(losses)
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


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: rises at first, then falls to 0."""
    warm_up = max(1, int(WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def _digest(settings: Any, weights: dict[str, torch.Tensor]) -> str:
    digest = blake2b(repr(settings).encode("utf8"), digest_size=16)
    for name, value in weights.items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


class _Run:
    """The checkpoint of a training run."""

    def __init__(
        self, output: Path, model: TextModel, learn_rate: float, digest: str
    ) -> None:
        self.path = output / "checkpoint.pt"
        self.model, self.digest = model, digest
        self.weights = trainable(model.transformer)
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=learn_rate, weight_decay=0.01
        )
        output.mkdir(parents=True, exist_ok=True)

    def resume(self) -> list[float]:
        """Load the last checkpoint; the losses up to there, none without one."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        try:
            saved = read_tensors(data, self.model.device)
            if saved["digest"] == self.digest:
                self.model.transformer.load_state_dict(saved["transformer"])
                self.optimizer.load_state_dict(saved["optimizer"])
                return [float(loss) for loss in saved["losses"]]
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as err:
            # Torch raises whatever the damage leads to.
            raise ValueError(Errors.S711.format(path=self.path, reason=err)) from err
        raise ValueError(Errors.S705.format(path=self.path))

    def save(self, losses: list[float]) -> None:
        state = {
            "digest": self.digest,
            "transformer": self.model.transformer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": losses,
        }
        # Torch would hide that the disk is full behind an error of its own.
        content = BytesIO()
        torch.save(state, content)
        write_file(self.path, content.getbuffer())

    def finish(self) -> None:
        self.path.unlink(missing_ok=True)
