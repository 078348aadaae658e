"""Finds the words of a sentence that ask for something, whatever skill they ask for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import srsly
import torch
from spacy.tokens import Span
from spacy.util import registry
from spacy_transformers.util import make_tempdir
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from .errors import Errors
from .files import write_file
from .phrases import Marks

# Each token is outside, begins or is inside a span, once of skills and once of knowledge:
# the two layers of SkillSpan (Zhang et al. 2022), which overlap.
LAYERS = 2
OUTSIDE, BEGIN, INSIDE = range(3)
MAX_WORDPIECES = 256
SENTENCES_PER_CALL = 64


class SkillSpanner:
    """A linear layer on each token's first wordpiece, over the lower layers of a
    transformer. Called with sentences, it gives the marks of each."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, transformer: PreTrainedModel
    ) -> None:
        self.tokenizer: Any = tokenizer
        self.transformer = transformer
        self.head = torch.nn.Linear(transformer.config.hidden_size, LAYERS * 3)

    @classmethod
    def from_base(cls, name: str, layers: int) -> "SkillSpanner":
        """Untrained, on this many of the lower layers of a BERT.

        name: hub name or local folder. Raises OSError or ValueError if there is none.
        """
        transformer = AutoModel.from_pretrained(
            name, num_hidden_layers=layers, add_pooling_layer=False
        )
        return cls(AutoTokenizer.from_pretrained(name), transformer)

    def __call__(self, sentences: Sequence[Span]) -> list[Marks]:
        self.transformer.eval()
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        found: dict[int, Marks] = {}
        for i in range(0, len(order), SENTENCES_PER_CALL):
            part = order[i : i + SENTENCES_PER_CALL]
            words = [[token.text for token in sentences[k]] for k in part]
            with torch.inference_mode():
                logits, firsts = self.tag(words)
                scores = torch.softmax(logits, dim=-1).cpu().numpy()
            for k, rows, places in zip(part, scores, firsts):
                sentence = sentences[k]
                tags = rows[list(places.values())]
                # Tokens without a wordpiece, such as blanks, belong to no span.
                asked = numpy.zeros(len(sentence), dtype="float32")
                asked[list(places)] = 1 - tags[:, :, OUTSIDE].min(axis=1)
                spans = [sentence[a:b] for a, b in decode(tags, list(places))]
                found[k] = Marks(spans, asked)
        return [found[k] for k in range(len(sentences))]

    def tag(
        self, words: Sequence[Sequence[str]]
    ) -> tuple[torch.Tensor, list[dict[int, int]]]:
        """Logits [sentences, wordpieces, LAYERS, 3], and for each sentence its tokens
        with their first wordpieces."""
        device = next(self.transformer.parameters()).device
        pieces = self.tokenizer(
            [list(sentence) for sentence in words],
            is_split_into_words=True,
            padding=True,
            truncation=True,
            max_length=min(
                MAX_WORDPIECES, self.transformer.config.max_position_embeddings
            ),
            return_tensors="pt",
        ).to(device)
        firsts = []
        for i in range(len(words)):
            places: dict[int, int] = {}
            for piece, token in enumerate(pieces.word_ids(i)):
                if token is not None:
                    places.setdefault(token, piece)
            firsts.append(places)
        hidden = self.transformer(**pieces).last_hidden_state.float()
        return self.head(hidden).reshape(*hidden.shape[:2], LAYERS, 3), firsts

    def to_dict(self) -> dict[str, Any]:
        """Plain data: settings, the tokenizer's files, and the weights as arrays."""
        with make_tempdir() as folder:
            self.tokenizer.save_pretrained(folder)
            files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        modules = {"transformer": self.transformer, "head": self.head}
        weights = {
            f"{part}.{name}": value.cpu().numpy()
            for part, module in modules.items()
            for name, value in module.state_dict().items()
        }
        config = self.transformer.config.to_dict()
        return {"config": config, "tokenizer": files, "weights": weights}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SkillSpanner":
        """Raises ValueError if the data is damaged."""
        try:
            with make_tempdir() as folder:
                for name, content in data["tokenizer"].items():
                    (folder / Path(name).name).write_bytes(content)
                srsly.write_json(folder / "config.json", data["config"])
                tokenizer = AutoTokenizer.from_pretrained(folder)
                config = AutoConfig.from_pretrained(folder)
            transformer = AutoModel.from_config(config, add_pooling_layer=False)
            spanner = cls(tokenizer, transformer)
            modules = {"transformer": transformer, "head": spanner.head}
            for part, module in modules.items():
                module.load_state_dict(
                    {
                        name.removeprefix(f"{part}."): torch.from_numpy(value.copy())
                        for name, value in data["weights"].items()
                        if name.startswith(f"{part}.")
                    }
                )
                if not all(bool(w.isfinite().all()) for w in module.parameters()):
                    raise ValueError("a weight is NaN or infinite")
        # Torch, transformers and tokenizers raise whatever they like.
        except Exception as err:
            raise ValueError(Errors.S801.format(reason=err)) from err
        return spanner

    def to_bytes(self) -> bytes:
        return srsly.msgpack_dumps(self.to_dict())

    @classmethod
    def from_bytes(cls, data: bytes) -> "SkillSpanner":
        """Raises ValueError if the data is damaged."""
        try:
            msg = srsly.msgpack_loads(data)
        except (ValueError, TypeError) as err:
            raise ValueError(Errors.S801.format(reason=err)) from err
        return cls.from_dict(msg)

    def to_disk(self, path: str | Path) -> None:
        """Write one file, whole or not at all."""
        write_file(Path(path), self.to_bytes())


@registry.readers("spacy_skills.SkillSpanner.v1")
def read_spanner(path: Path | None = None) -> SkillSpanner | None:
    """The spanner that ``spacy skills spans`` saved; no path, none. Raises OSError if there
    is no such file, ValueError if it is damaged."""
    return None if path is None else SkillSpanner.from_bytes(Path(path).read_bytes())


def decode(scores: numpy.ndarray, tokens: Sequence[int]) -> list[tuple[int, int]]:
    """The spans (start, end) that the tags make, without repeats, in order.

    scores: [len(tokens), LAYERS, 3] probabilities. A span goes on until a token is more
    likely outside than not, or more likely the begin of another than inside.
    """
    found: set[tuple[int, int]] = set()
    for layer in range(LAYERS):
        found.update(_decode_layer(scores[:, layer], tokens))
    return sorted(found)


def _decode_layer(
    scores: numpy.ndarray, tokens: Sequence[int]
) -> Iterator[tuple[int, int]]:
    start = end = -1
    for token, score in zip(tokens, scores):
        outside = score[OUTSIDE] >= 0.5
        if start >= 0 and (outside or score[BEGIN] > score[INSIDE]):
            yield start, end
            start = -1
        if not outside:
            start = token if start < 0 else start
            end = token + 1
    if start >= 0:
        yield start, end
