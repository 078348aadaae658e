"""Vectors of texts where nothing is learned: each distinct text once, and little padding."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy
import torch
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from .packable import packed_bert

Precision = Literal["float32", "bfloat16", "int8"]
TEXTS_PER_CALL = 64
# What tokenizers give besides would be made for nothing.
IDS_ALONE = {"return_attention_mask": False, "return_token_type_ids": False}


def text_vectors(
    tokenizer: Any,
    transformer: PreTrainedModel,
    texts: Sequence[str],
    precision: Precision,
) -> numpy.ndarray:
    """Means over the wordpieces, float32 [texts, width].

    precision: int8 where the model and the CPU allow, see ``packed_bert``, else float32.
    """
    transformer.eval()
    if not texts:
        return numpy.zeros((0, transformer.config.hidden_size), dtype="float32")
    packed = None
    if precision != "bfloat16":
        packed = packed_bert(transformer, precision == "int8")
    if packed is not None:
        pieces = _tokenize(tokenizer, transformer, texts, **IDS_ALONE)
        return packed.means(pieces["input_ids"])
    place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    distinct = list(place)
    vectors = numpy.zeros((len(distinct), transformer.config.hidden_size), "float32")
    for rows in batches_of_like_length(distinct):
        part = [distinct[row] for row in rows]
        vectors[rows] = _padded_vectors(tokenizer, transformer, part, precision)
    return vectors[[place[text] for text in texts]]


def _padded_vectors(
    tokenizer: Any,
    transformer: PreTrainedModel,
    texts: list[str],
    precision: Precision,
) -> numpy.ndarray:
    device = next(transformer.parameters()).device
    pieces = _tokenize(
        tokenizer, transformer, texts, padding=True, return_tensors="pt"
    ).to(device)
    bfloat16 = precision == "bfloat16"
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=bfloat16),
    ):
        hidden = transformer(**pieces).last_hidden_state
        return mean_pool(hidden, pieces["attention_mask"]).cpu().numpy()


def _tokenize(
    tokenizer: Any, transformer: PreTrainedModel, texts: Sequence[str], **settings: Any
) -> Any:
    """Wordpieces, no more than there are positions for (as sentence-transformers has it: some
    configs say -1, and RoBERTa's count positions that no text may use)."""
    length = tokenizer.model_max_length
    positions = getattr(transformer.config, "max_position_embeddings", 0)
    if positions > 0:
        length = min(length, positions)
    # Tokenizers that know no bound have one of 1e30.
    if length < VERY_LARGE_INTEGER:
        settings |= {"truncation": True, "max_length": length}
    return tokenizer(list(texts), **settings)


def batches_of_like_length(texts: Sequence[str]) -> Iterator[list[int]]:
    """The texts' places, in batches of which the shortest texts come first."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for i in range(0, len(order), TEXTS_PER_CALL):
        yield order[i : i + TEXTS_PER_CALL]


def mean_pool(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """[texts, width] float32: the mean over the wordpieces that are no padding."""
    mask = attention_mask[:, :, None].float()
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)
