"""Finds the words of a sentence that ask for something, whatever skill they ask for."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import srsly
import torch
from spacy.tokens import Span
from spacy.util import registry
from spacy_transformers.util import make_tempdir
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from .compressed import MAX_WEIGHTS, loads, read_bytes
from .errors import Errors
from .files import write_file
from .inference import mean_pool
from .packable import WeightsState, packed_bert, weights_state
from .packed import RECENT_TEXTS, PackedBert
from .phrases import Marks
from .saved_transformers import all_finite, restore
from .vectors import Recent

# Each token is outside, begins or is inside a span, once of skills and once of knowledge:
# the two layers of SkillSpan (Zhang et al. 2022), which overlap.
LAYERS = 2
OUTSIDE, BEGIN, INSIDE = range(3)
MAX_WORDPIECES = 256
SENTENCES_PER_CALL = 64


class Tagged(NamedTuple):
    """A sentence's tokens that have a wordpiece, their probabilities [tokens, LAYERS, 3], and
    the mean of the vectors of all its wordpieces [width]."""

    tokens: list[int]
    tags: numpy.ndarray
    vector: numpy.ndarray


class SkillSpanner:
    """A linear layer on each token's first wordpiece, over the lower layers of a
    transformer. Called with sentences, it gives the marks of each; a sentence's vector is the
    mean over its wordpieces."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, transformer: PreTrainedModel
    ) -> None:
        self.tokenizer: Any = tokenizer
        self.transformer = transformer
        self.head = torch.nn.Linear(transformer.config.hidden_size, LAYERS * 3)
        self._recent: Recent[tuple[str, ...], Tagged] = Recent(RECENT_TEXTS)
        self._state: tuple[PackedBert, WeightsState] | None = None

    @classmethod
    def from_base(cls, name: str, layers: int) -> "SkillSpanner":
        """Untrained, on this many of the lower layers of a BERT.

        name: hub name or local folder. Raises OSError or ValueError if there is none.
        """
        transformer = AutoModel.from_pretrained(
            name,
            num_hidden_layers=layers,
            add_pooling_layer=False,
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return cls(tokenizer, transformer)

    @property
    def width(self) -> int:
        """Of a sentence's vector."""
        return self.transformer.config.hidden_size

    def __call__(self, sentences: Sequence[Span]) -> list[Marks]:
        if not sentences:
            return []
        self.transformer.eval()
        words = [[token.text for token in sentence] for sentence in sentences]
        packed = packed_bert(self.transformer, int8=True)
        with torch.inference_mode():
            if packed is None:
                tagged = self._tag_padded(words)
            else:
                tagged = self._tag_once(packed, words)
            return [_marks(*pair) for pair in zip(sentences, tagged)]

    def _tag_once(self, packed: PackedBert, words: list[list[str]]) -> list[Tagged]:
        """Equal sentences once, and those of late not again."""
        state = packed, weights_state(self.head)
        if state != self._state:
            self._state, self._recent = state, Recent(RECENT_TEXTS)
        keys = [tuple(sentence) for sentence in words]
        return self._recent.fill(keys, partial(self._tag, packed))

    def _tag(
        self, packed: PackedBert, words: Sequence[Sequence[str]]
    ) -> Iterator[Tagged]:
        pieces = self._tokenize(words)
        states = packed.states(pieces["input_ids"])
        tags = self._logits(torch.cat(states)).softmax(dim=-1).numpy()
        ends = numpy.cumsum([len(state) for state in states])[:-1]
        parts = numpy.split(tags, ends)
        for places, part, state in zip(_first_pieces(pieces), parts, states):
            vector = (state.sum(dim=0) / max(1, len(state))).numpy()
            yield Tagged(list(places), part[list(places.values())], vector)

    def _tag_padded(self, words: list[list[str]]) -> list[Tagged]:
        found = []
        for i in range(0, len(words), SENTENCES_PER_CALL):
            hidden, pieces = self._read_padded(words[i : i + SENTENCES_PER_CALL])
            tags = self._logits(hidden).softmax(dim=-1).cpu().numpy()
            vectors = mean_pool(hidden, pieces["attention_mask"]).cpu().numpy()
            for places, part, vector in zip(_first_pieces(pieces), tags, vectors):
                found.append(Tagged(list(places), part[list(places.values())], vector))
        return found

    def tag(
        self, words: Sequence[Sequence[str]]
    ) -> tuple[torch.Tensor, list[dict[int, int]]]:
        """Logits [sentences, wordpieces, LAYERS, 3], and for each sentence its tokens
        with their first wordpieces."""
        hidden, pieces = self._read_padded(words)
        return self._logits(hidden), _first_pieces(pieces)

    def _read_padded(self, words: Sequence[Sequence[str]]) -> tuple[torch.Tensor, Any]:
        """Vectors [sentences, wordpieces, width], and the wordpieces."""
        device = next(self.transformer.parameters()).device
        pieces = self._tokenize(words, padding=True, return_tensors="pt").to(device)
        return self.transformer(**pieces).last_hidden_state.float(), pieces

    def _tokenize(self, words: Sequence[Sequence[str]], **settings: Any) -> Any:
        return self.tokenizer(
            [list(sentence) for sentence in words],
            is_split_into_words=True,
            truncation=True,
            max_length=min(
                MAX_WORDPIECES, self.transformer.config.max_position_embeddings
            ),
            **settings,
        )

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(hidden).reshape(*hidden.shape[:-1], LAYERS, 3)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: settings, the tokenizer's files, and the weights as arrays."""
        with make_tempdir() as folder:
            self.tokenizer.save_pretrained(folder)
            # In the order of their names: folders have none.
            paths = sorted(path for path in folder.iterdir() if path.is_file())
            files = {path.name: path.read_bytes() for path in paths}
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
            weights: dict[str, dict[str, torch.Tensor]] = {
                "transformer": {},
                "head": {},
            }
            for name, value in data["weights"].items():
                part, _, name = name.partition(".")
                # PyTorch takes no array that can't be written to.
                value = numpy.require(value, requirements="W")
                weights[part][name] = torch.from_numpy(value)
            tokenizer, transformer = restore(
                data["config"],
                data["tokenizer"],
                weights["transformer"],
                sum(value.nbytes for value in data["weights"].values()),
                add_pooling_layer=False,
            )
            spanner = cls(tokenizer, transformer)
            spanner.head.load_state_dict(weights["head"])
            if not all(map(all_finite, (transformer, spanner.head))):
                raise ValueError("a weight is NaN or infinite")
        except Exception as err:
            # Tokenizers raise whatever their files' content leads to.
            raise ValueError(Errors.S801.format(reason=str(err)[:300])) from err
        return spanner

    def to_bytes(self) -> bytes:
        return srsly.msgpack_dumps(self.to_dict())

    @classmethod
    def from_bytes(cls, data: bytes) -> "SkillSpanner":
        """Raises ValueError if the data is damaged."""
        try:
            msg = loads(data)
        except ValueError as err:
            raise ValueError(Errors.S801.format(reason=err)) from err
        return cls.from_dict(msg)

    def to_disk(self, path: str | Path) -> None:
        """Write one file, whole or not at all."""
        write_file(Path(path), self.to_bytes())


@registry.readers("spacy_skills.SkillSpanner.v1")
def read_spanner(path: Path | None = None) -> SkillSpanner | None:
    """The spanner that ``spacy skills spans`` saved; no path, none. Raises OSError if there
    is no such file, ValueError if it is damaged."""
    if path is None:
        return None
    try:
        data = read_bytes(Path(path), MAX_WEIGHTS)
    except ValueError as err:
        raise ValueError(Errors.S801.format(reason=f"{path}: {err}")) from err
    try:
        return SkillSpanner.from_bytes(data)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err


def _first_pieces(pieces: Any) -> list[dict[int, int]]:
    """The first wordpiece of each sentence's tokens; some tokens have none."""
    firsts = []
    for encoding in pieces.encodings:
        places: dict[int, int] = {}
        for piece, token in enumerate(encoding.word_ids):
            if token is not None:
                places.setdefault(token, piece)
        firsts.append(places)
    return firsts


def _marks(sentence: Span, tagged: Tagged) -> Marks:
    # Tokens without a wordpiece, such as blanks, belong to no span.
    asked = numpy.zeros(len(sentence), dtype="float32")
    asked[tagged.tokens] = 1 - tagged.tags[:, :, OUTSIDE].min(axis=1)
    spans = [sentence[a:b] for a, b in decode(tagged.tags, tagged.tokens)]
    return Marks(spans, asked, tagged.vector)


def decode(scores: numpy.ndarray, tokens: Sequence[int]) -> list[tuple[int, int]]:
    """The spans (start, end) that the tags make, without repeats, in order.

    scores: [len(tokens), LAYERS, 3] probabilities. A span goes on until a token is more
    likely outside than not, or more likely the begin of another than inside.
    """
    found: set[tuple[int, int]] = set()
    for layer in numpy.flatnonzero((scores[:, :, OUTSIDE] < 0.5).any(axis=0)):
        found.update(_decode_layer(scores[:, layer].tolist(), tokens))
    return sorted(found)


def _decode_layer(
    scores: Sequence[Sequence[float]], tokens: Sequence[int]
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
