"""A BERT for inference on a CPU: no padding, and linear layers of eight bits.

Texts of like length are laid end to end, so that every row of a product is a wordpiece;
attention looks at texts of one length at a time. Each wordpiece's activations are rounded with a
scale of their own (as in LLM.int8(), Dettmers et al. 2022, §2.2): the texts beside it change a
text's vectors by what floats are off, and where that tips a rounding by a step.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertModel

from .int8 import Int8Linear, Int8LinearOfGelu, Linear
from .vectors import Recent

# The widest activations of so many wordpieces still lie in a core's cache.
WORDPIECES_PER_BATCH = 768
# Texts that are not encoded again when they return: boilerplate, and names. 15 MB of vectors.
RECENT_TEXTS = 8192
# Texts and wordpieces each that are drawn to see how large activations become.
SAMPLE = (16, 16)

RowFunction = Callable[[Tensor], Tensor]


class Layer(NamedTuple):
    """The parts of one transformer layer, in the order of their use: linear ones, each of rows
    [wordpieces, nI], and norms."""

    query_key_value: RowFunction
    attended: RowFunction
    first_norm: RowFunction
    intermediate: RowFunction
    output: RowFunction
    second_norm: RowFunction


class Group(NamedTuple):
    """Texts of one length in a batch: their first row, number, and length in wordpieces."""

    start: int
    texts: int
    length: int

    def of(self, rows: Tensor) -> Tensor:
        """Their part of rows, [texts, length, width]."""
        part = rows[self.start : self.start + self.texts * self.length]
        return part.view(self.texts, self.length, -1)


class PackedBert:
    """The weights are the transformer's at the time it is made."""

    def __init__(self, transformer: BertModel, int8: bool) -> None:
        self.embeddings: Any = transformer.embeddings
        self.heads: int = transformer.config.num_attention_heads
        self._recent: Recent[bytes, numpy.ndarray] = Recent(RECENT_TEXTS)
        layers: Any = transformer.encoder.layer
        with torch.no_grad():
            self.layers = [_pack_layer(layer) for layer in layers]
            if int8:
                self.layers = _rounded(self.layers, self._peaks())

    def _peaks(self) -> list[Tensor]:
        """The largest inputs of each layer's query_key_value and intermediate, one after the
        other, on wordpieces drawn at random. Those of real texts are like them: both come of a
        LayerNorm."""
        vocabulary = self.embeddings.word_embeddings.num_embeddings
        draw = torch.Generator().manual_seed(0)
        texts, length = SAMPLE
        length = min(length, self.embeddings.position_embeddings.num_embeddings)
        sample = [
            torch.randint(vocabulary, (length,), generator=draw).numpy()
            for _ in range(texts)
        ]
        peaks: list[Tensor] = []

        def watched(linear: RowFunction) -> RowFunction:
            def watch(x: Tensor) -> Tensor:
                peaks.append(x.abs().amax(dim=0))
                return linear(x)

            return watch

        exact = self.layers
        self.layers = [
            layer._replace(
                query_key_value=watched(layer.query_key_value),
                intermediate=watched(layer.intermediate),
            )
            for layer in exact
        ]
        self._forward(sample, list(_groups(sample)))
        self.layers = exact
        return peaks

    def means(self, texts: Sequence[Sequence[int]]) -> numpy.ndarray:
        """The mean of each text's vectors, float32 [texts, width]; of equal texts, and of those
        of late, one is encoded; zeros for one without wordpieces. texts: ids of wordpieces."""
        keys = [numpy.array(text, dtype="int64").tobytes() for text in texts]
        return numpy.array(self._recent.fill(keys, self._means))

    def _means(self, keys: list[bytes]) -> list[numpy.ndarray]:
        texts = [numpy.frombuffer(key, dtype="int64") for key in keys]
        width = self.embeddings.word_embeddings.embedding_dim
        found = numpy.zeros((len(texts), width), dtype="float32")
        for places, groups, hidden in self._batches(texts):
            means = [group.of(hidden).mean(dim=1) for group in groups]
            found[places] = torch.cat(means).numpy()
        # One that is kept would keep all of them.
        return [vector.copy() for vector in found]

    def states(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """The vectors of each text's wordpieces, [wordpieces, width] each. texts: ids."""
        found: dict[int, Tensor] = {}
        ids = [numpy.array(text, dtype="int64") for text in texts]
        for places, groups, hidden in self._batches(ids):
            parts = (part for group in groups for part in group.of(hidden).unbind())
            found.update(zip(places, parts))
        nothing = torch.zeros(0, self.embeddings.word_embeddings.embedding_dim)
        return [found.get(place, nothing) for place in range(len(texts))]

    def _batches(
        self, texts: Sequence[numpy.ndarray]
    ) -> Iterator[tuple[list[int], list[Group], Tensor]]:
        """The places of a batch's texts, their groups, and the rows of their wordpieces."""
        order = [place for place, text in enumerate(texts) if len(text)]
        order.sort(key=lambda place: len(texts[place]))
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for places in _batches_of(order, [len(text) for text in texts]):
                batch = [texts[place] for place in places]
                groups = list(_groups(batch))
                yield places, groups, self._forward(batch, groups)

    def _forward(self, batch: Sequence[numpy.ndarray], groups: list[Group]) -> Tensor:
        hidden = self._embed(batch)
        for layer in self.layers:
            mixed = self._attend(layer.query_key_value(hidden), groups)
            hidden = layer.first_norm(layer.attended(mixed).add_(hidden))
            wide = F.gelu(layer.intermediate(hidden))
            hidden = layer.second_norm(layer.output(wide).add_(hidden))
        return hidden

    def _embed(self, batch: Sequence[numpy.ndarray]) -> Tensor:
        ids = torch.from_numpy(numpy.concatenate(batch))
        steps = [numpy.arange(len(text)) for text in batch]
        places = torch.from_numpy(numpy.concatenate(steps))
        table = self.embeddings
        embedded = table.word_embeddings(ids) + table.position_embeddings(places)
        return table.LayerNorm(embedded.add_(table.token_type_embeddings.weight[0]))

    def _attend(self, rows: Tensor, groups: list[Group]) -> Tensor:
        """rows: queries, keys and values beside each other."""
        width = rows.shape[1] // 3
        mixed = rows.new_empty(len(rows), width)
        for group in groups:
            parts = group.of(rows).view(group.texts, group.length, 3, self.heads, -1)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            weights = query @ key.transpose(-1, -2)
            weights *= (width // self.heads) ** -0.5
            found = (weights.softmax(dim=-1) @ value).transpose(1, 2)
            group.of(mixed).copy_(found.flatten(2))
        return mixed


def _pack_layer(layer: Any) -> Layer:
    attention = layer.attention
    heads = [attention.self.query, attention.self.key, attention.self.value]

    def pack(*modules: torch.nn.Linear) -> Linear:
        weights = torch.cat([module.weight for module in modules]).t()
        return Linear(weights, torch.cat([module.bias for module in modules]))

    return Layer(
        pack(*heads),
        pack(attention.output.dense),
        attention.output.LayerNorm,
        pack(layer.intermediate.dense),
        pack(layer.output.dense),
        layer.output.LayerNorm,
    )


def _rounded(layers: Sequence[Any], peaks: Sequence[Tensor]) -> list[Layer]:
    return [
        layer._replace(
            query_key_value=Int8Linear.of(layer.query_key_value, first),
            attended=Int8Linear.of(layer.attended),
            intermediate=Int8Linear.of(layer.intermediate, second),
            output=Int8LinearOfGelu.of(layer.output),
        )
        for layer, first, second in zip(layers, peaks[::2], peaks[1::2])
    ]


def _batches_of(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    pieces = 0
    for place in order:
        if batch and pieces + lengths[place] > WORDPIECES_PER_BATCH:
            yield batch
            batch, pieces = [], 0
        batch.append(place)
        pieces += lengths[place]
    if batch:
        yield batch


def _groups(batch: Sequence[numpy.ndarray]) -> Iterator[Group]:
    start = 0
    for length, texts in groupby(map(len, batch)):
        group = Group(start, sum(1 for _ in texts), length)
        yield group
        start += group.texts * length
