"""Which transformers can be packed, and when they have to be packed anew."""

from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from transformers import BertModel, PreTrainedModel

from .int8 import has_int8_products
from .packed import PackedBert

# Of so many numbers of each weight it is seen whether they have changed.
SAMPLED_NUMBERS = 8


class WeightsState(NamedTuple):
    """Changes when a weight is replaced or changed in place. Optimizers that write past
    PyTorch's count of versions, as thinc's do, change all numbers: some of them are looked at."""

    places: list[tuple[int, int]]
    numbers: bytes


def weights_state(module: torch.nn.Module) -> WeightsState:
    places, numbers = [], []
    with torch.no_grad():
        for weight in module.parameters():
            version = 0 if weight.is_inference() else weight._version
            places.append((weight.data_ptr(), version))
            flat = weight.view(-1) if weight.is_contiguous() else weight.flatten()
            numbers.append(flat[:: max(1, len(flat) // SAMPLED_NUMBERS)].float())
        sample = torch.cat(numbers).cpu().numpy().tobytes() if numbers else b""
    return WeightsState(places, sample)


# By transformer and int8, with the state of the weights that were packed.
_packed: WeakKeyDictionary[torch.nn.Module, dict[bool, tuple[WeightsState, PackedBert]]]
_packed = WeakKeyDictionary()


def packed_bert(transformer: PreTrainedModel, int8: bool) -> PackedBert | None:
    """The transformer packed as its weights are now, which is done anew when they change. None
    if it is no plain BERT on the CPU.

    int8: round, if the CPU multiplies bytes faster than floats.
    """
    if not _is_plain_bert(transformer):
        return None
    int8 = int8 and has_int8_products()
    state = weights_state(transformer)
    known = _packed.setdefault(transformer, {})
    if int8 not in known or known[int8][0] != state:
        known[int8] = state, PackedBert(cast(BertModel, transformer), int8)
    return known[int8][1]


def _is_plain_bert(transformer: PreTrainedModel) -> bool:
    config = transformer.config
    return (
        type(transformer) is BertModel
        and transformer.device.type == "cpu"
        and transformer.dtype == torch.float32
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not config.is_decoder
        and not getattr(config, "pruned_heads", None)
        and not any(map(_is_changed, transformer.modules()))
        and all(map(_has_plain_layers, cast(Any, transformer).encoder.layer))
    )


def _is_changed(module: torch.nn.Module) -> bool:
    """Whether calling it does more than its class says."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _has_plain_layers(layer: Any) -> bool:
    """Whether all six are torch's own, not those of an adapter, and no head is missing."""
    attention = layer.attention.self
    linear = [attention.query, attention.key, attention.value]
    linear += [layer.attention.output.dense, layer.intermediate.dense]
    linear.append(layer.output.dense)
    norms = [layer.attention.output.LayerNorm, layer.output.LayerNorm]
    return (
        all(type(module) is torch.nn.Linear for module in linear)
        and all(type(module) is torch.nn.LayerNorm for module in norms)
        and attention.query.out_features == attention.query.in_features
    )
