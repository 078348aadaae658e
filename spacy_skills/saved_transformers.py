"""What a file says of a transformer, checked before the transformers library sees it: it must
name no code, reach for nothing outside, and not be larger than its weights."""

import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import srsly
import torch
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from spacy_transformers.util import make_tempdir
from thinc.api import Model, get_torch_default_device
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_utils import no_init_weights
from transformers.models.auto.auto_factory import _get_model_class

from .compressed import loads

# Settings of which each makes so many modules, or labels.
_COUNTS = re.compile("layer|depth|block|stage|label|expert|^num_|^n_(layer|head)")
MAX_COUNT = 10_000
# Numbers of a transformer that need no bytes among its weights: buffers that are computed.
FREE_NUMBERS = 2**24
CODE = "it names code of its own, which is not run"
# How attention is computed may be the name of a kernel on the hub.
_MACHINE_SETTINGS = ("attn_implementation", "_attn_implementation")


def restore(
    config: Any,
    files: Mapping[str, Any],
    weights: dict[str, torch.Tensor],
    n_bytes: int,
    *,
    use_fast: bool = True,
    **kwargs: Any,
) -> tuple[Any, PreTrainedModel]:
    """A tokenizer and a transformer, which keeps the weights, not copies of them. files: the
    tokenizer's; n_bytes: what the weights take where they are saved; kwargs: of the
    transformer's class. Raises ValueError, or what the libraries raise for damaged data."""
    check_files(files)
    # Without what only concerns the machine it was made on.
    config = {k: v for k, v in dict(config).items() if k not in _MACHINE_SETTINGS}
    _check_settings(config)
    parsed = AutoConfig.for_model(**config)
    _check_size(parsed, n_bytes, **kwargs)
    with make_tempdir() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        srsly.write_json(folder / "config.json", config)
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder),
            use_fast=use_fast,
            trust_remote_code=False,
            local_files_only=True,
        )
    transformer = _build(parsed, **kwargs)
    expected = transformer.state_dict()
    for name in expected.keys() & weights.keys():
        weights[name] = weights[name].to(expected[name].dtype)
    transformer.load_state_dict(weights, assign=True)
    # Those that two modules have in common are two after it.
    transformer.tie_weights()
    return tokenizer, transformer


def all_finite(module: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    # isfinite would take a multiple of each weight's memory.
    extremes = [weight.aminmax() for weight in module.parameters() if weight.numel()]
    return all(bool(torch.stack(pair).isfinite().all()) for pair in extremes)


def _build(config: PretrainedConfig, **kwargs: Any) -> PreTrainedModel:
    """As AutoModel.from_config, which first imports every model there is, but with whatever
    memory holds as its weights."""
    with no_init_weights():
        return _get_model_class(config, MODEL_MAPPING)._from_config(config, **kwargs)


def _check_size(config: PretrainedConfig, n_bytes: int, **kwargs: Any) -> None:
    # Modules without memory.
    with torch.device("meta"):
        model = _build(config, **kwargs)
    numbers = sum(tensor.numel() for tensor in [*model.parameters(), *model.buffers()])
    if numbers > n_bytes + FREE_NUMBERS:
        raise ValueError(f"its config asks for {numbers:,} numbers, it has fewer")


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name == "auto_map":
            raise ValueError(CODE)
        if isinstance(value, dict):
            _check_settings(value)
        counts = value if isinstance(value, list) else [value]
        counts = [n for n in counts if isinstance(n, int | float)]
        if _COUNTS.search(str(name)) and sum(counts) > MAX_COUNT:
            raise ValueError(f"its config has a {name} of more than {MAX_COUNT:,}")


def check_files(files: Mapping[str, Any]) -> None:
    """Raises ValueError unless these are files that may be written into a folder."""
    for name, content in files.items():
        if Path(name).name != name or not isinstance(content, bytes):
            raise ValueError(f"it has a file with the name {name!r}")


def load_model(model: Model, data: bytes | dict[str, Any]) -> None:
    """``Model.from_bytes``, or ``Model.from_dict`` where the shims of transformers may be
    unpacked too, with tensors as their state. Raises ValueError, or what the libraries raise for
    damaged data."""
    msg = loads(data) if isinstance(data, bytes) else data
    for attrs in msg["attrs"]:
        for value in attrs.values():
            loads(value)
    for saved in msg["nodes"]:
        for dim, value in saved["dims"].items():
            if not isinstance(value, int | None):
                raise ValueError(f"its dimension {dim} is no number")
    nodes = list(model.walk())
    model.from_dict({**msg, "shims": [[]] * len(nodes)})
    for node, shims in zip(nodes, msg["shims"], strict=True):
        for shim, content in zip(node.shims, shims, strict=True):
            _load_shim(shim, content)


def _load_shim(shim: Any, data: bytes | dict[str, Any]) -> None:
    """Of a transformer of spacy-transformers, or of another torch model."""
    msg = loads(data) if isinstance(data, bytes) else data
    state: Any = msg.get("state")
    n_bytes = len(state or b"")
    if isinstance(state, bytes) and state:
        state = read_tensors(state)
    elif state:
        n_bytes = sum(tensor.nbytes for tensor in state.values())
    if not isinstance(shim, HFShim):
        shim.from_bytes(data)
        return
    settings = [msg[f"_init_{part}_config"] for part in ("tokenizer", "transformer")]
    # With these a transformer is made that is not there yet.
    if any(part.pop("trust_remote_code", False) for part in settings):
        raise ValueError(CODE)
    if not msg["config"]:
        shim._hfmodel = HFObjects(None, None, None, *settings)
        return
    files = dict(msg["tokenizer"])
    use_fast = bool(files.pop("kwargs", {}).get("use_fast", True))
    tokenizer, transformer = restore(
        msg["config"], files, state, n_bytes, use_fast=use_fast
    )
    transformer.to(get_torch_default_device())  # type: ignore[arg-type]
    vocabulary = None
    if hasattr(tokenizer, "vocab_file"):
        vocabulary = files[tokenizer.vocab_files_names["vocab_file"]]
    shim._hfmodel = HFObjects(tokenizer, transformer, vocabulary)
    shim._model = transformer


def read_tensors(data: bytes, device: str = "cpu") -> Any:
    """Tensors and plain data as torch.save writes them. Raises ValueError if they are compressed,
    which it never does, or what the libraries raise for damaged data; no object is made."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > len(data):
            raise ValueError("its weights are compressed")
    return torch.load(BytesIO(data), map_location=device, weights_only=True)
