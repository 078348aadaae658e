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
from transformers import AutoConfig, AutoModel

from .compressed import loads

# Settings of which each makes so many modules, or labels.
_COUNTS = re.compile("layer|depth|block|stage|label|expert|^num_|^n_(layer|head)")
MAX_COUNT = 10_000
# Numbers of a transformer that need no bytes among its weights: buffers that are computed.
FREE_NUMBERS = 2**24
CODE = "it names code of its own, which is not run"
# How attention is computed may be the name of a kernel on the hub.
_MACHINE_SETTINGS = ("attn_implementation", "_attn_implementation")


def check_config(config: Any, n_bytes: int, **kwargs: Any) -> dict[str, Any]:
    """The config of a transformer whose weights have so many bytes, without what only concerns
    the machine it was made on. kwargs: as for AutoModel.from_config. Raises ValueError."""
    config = {k: v for k, v in dict(config).items() if k not in _MACHINE_SETTINGS}
    _check_settings(config)
    # Modules without memory.
    with torch.device("meta"):
        model = AutoModel.from_config(
            AutoConfig.for_model(**config), trust_remote_code=False, **kwargs
        )
    numbers = sum(tensor.numel() for tensor in [*model.parameters(), *model.buffers()])
    if numbers > n_bytes + FREE_NUMBERS:
        raise ValueError(f"its config asks for {numbers:,} numbers, it has fewer")
    return config


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


def read_model(data: bytes) -> dict[str, Any]:
    """What ``Model.from_dict`` takes, from ``Model.to_bytes``. Raises ValueError."""
    msg = loads(data)
    for attrs in msg["attrs"]:
        for value in attrs.values():
            loads(value)
    msg["shims"] = [[_check_shim(shim) for shim in node] for node in msg["shims"]]
    return msg


def _check_shim(data: bytes) -> bytes:
    """Of a transformer of spacy-transformers, which may not be there yet, or of another torch
    model."""
    msg = loads(data)
    if msg.get("state"):
        _check_state(msg["state"])
    if "tokenizer" not in msg:
        return data
    for name in ("_init_tokenizer_config", "_init_transformer_config"):
        # With these a transformer is made that is not there yet.
        if msg[name].pop("trust_remote_code", False):
            raise ValueError(CODE)
    if not msg["config"]:
        return data
    msg["config"] = check_config(msg["config"], len(msg["state"]))
    use_fast = bool(msg["tokenizer"].pop("kwargs", {}).get("use_fast", True))
    check_files(msg["tokenizer"])
    # Become arguments of AutoTokenizer.from_pretrained.
    msg["tokenizer"]["kwargs"] = {
        "use_fast": use_fast,
        "trust_remote_code": False,
        "local_files_only": True,
    }
    return srsly.msgpack_dumps(msg)


def _check_state(state: bytes) -> None:
    """Raises ValueError for anything but tensors as torch.save writes them, uncompressed."""
    with zipfile.ZipFile(BytesIO(state)) as archive:
        if sum(info.file_size for info in archive.infolist()) > len(state):
            raise ValueError("its weights are compressed")
    torch.load(BytesIO(state), map_location="cpu", weights_only=True)
