"""Rankers in one small file: weights of eight bits, and what a pipeline has to carry.

The file is what ``SkillRanker.from_bytes`` takes, but with every large array of floats
rounded, and without the skills' descriptions, which nothing needs once classifiers are set.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import srsly
import torch

from .errors import Errors
from .finder import NameFinder
from .ranker import SkillRanker
from .taxonomy import Taxonomy

SHIPPED = Path(__file__).parent / "pretrained"
SUFFIX = ".ranker"
FORMAT = "spacy_skills.Ranker.v1"
# Arrays with fewer numbers than these stay as they are: biases, norms, the four weights.
MIN_SIZE = 4096
LEVELS = 127
# The other attributes are settings, which the config of the component that is loaded gives.
KEPT_ATTRS = frozenset({"has_transformer"})


def pack(ranker: SkillRanker, finder: NameFinder) -> bytes:
    """The ranker's compact form, with the finder of its skills' names."""
    model = srsly.msgpack_loads(ranker.model.to_bytes())
    model["params"] = _map_arrays(model["params"], round_array)
    model["shims"] = [[_pack_shim(shim) for shim in node] for node in model["shims"]]
    model["attrs"] = [
        {name: value for name, value in node.items() if name in KEPT_ATTRS}
        for node in model["attrs"]
    ]
    content = {
        "taxonomy": _without_descriptions(ranker.taxonomy).to_bytes(),
        "model": srsly.msgpack_dumps(model),
        "names": finder.to_bytes(),
    }
    packed = zlib.compress(srsly.msgpack_dumps(content), level=9)
    return srsly.msgpack_dumps({"format": FORMAT, "content": packed})


def unpack(data: bytes, *, source: str = "bytes") -> bytes:
    """What ``SkillRanker.from_bytes`` takes. Raises ValueError, naming the source, if the
    data is damaged or something else."""
    try:
        msg = srsly.msgpack_loads(data)
        if msg["format"] != FORMAT:
            raise ValueError(msg["format"])
        parts = srsly.msgpack_loads(zlib.decompress(msg["content"]))
        model = srsly.msgpack_loads(parts["model"])
        model["params"] = _map_arrays(model["params"], restore_array)
        model["shims"] = [
            [_unpack_shim(shim) for shim in node] for node in model["shims"]
        ]
        parts["model"] = srsly.msgpack_dumps(model)
    except (zlib.error, AttributeError, KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.S010.format(path=source, reason=err)) from err
    return srsly.msgpack_dumps(parts)


def read_compact(name: str | Path) -> bytes:
    """Unpack a file, or by its name a ranker that comes with the package. Raises ValueError
    if there is none or it is damaged."""
    path = SHIPPED / f"{name}{SUFFIX}"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise ValueError(Errors.S011.format(path=path))
    return unpack(path.read_bytes(), source=str(path))


def round_array(array: Any) -> Any:
    """Rows of eight-bit integers with a scale each: at most half a step (1/254 of the row's
    largest number) from the array. Small arrays and other values are returned as they are."""
    if not isinstance(array, numpy.ndarray) or array.size < MIN_SIZE:
        return array
    rows = array.reshape(len(array), -1)
    scales = numpy.abs(rows).max(axis=1).astype("float32") / LEVELS
    scales[scales == 0] = 1.0
    rounded = numpy.rint(rows / scales[:, None]).astype("int8")
    return {"shape": list(array.shape), "scales": scales, "rounded": rounded}


def restore_array(value: Any) -> Any:
    """The float32 array that ``round_array`` rounded."""
    if not isinstance(value, dict):
        return value
    rows = value["rounded"].astype("float32") * value["scales"][:, None]
    return rows.reshape(value["shape"])


def _map_arrays(nodes: list[dict], change: Callable[[Any], Any]) -> list[dict]:
    return [{name: change(value) for name, value in node.items()} for node in nodes]


def _pack_shim(shim: bytes) -> bytes:
    """spacy-transformers' HFShim: its torch state becomes arrays."""
    msg = srsly.msgpack_loads(shim)
    state = torch.load(BytesIO(msg["state"]), map_location="cpu", weights_only=True)
    msg["state"] = {name: round_array(t.numpy()) for name, t in state.items()}
    return srsly.msgpack_dumps(msg)


def _unpack_shim(shim: bytes) -> bytes:
    msg = srsly.msgpack_loads(shim)
    state = {
        name: torch.from_numpy(numpy.array(restore_array(value)))
        for name, value in msg["state"].items()
    }
    file_ = BytesIO()
    torch.save(state, file_)
    msg["state"] = file_.getvalue()
    return srsly.msgpack_dumps(msg)


def _without_descriptions(taxonomy: Taxonomy) -> Taxonomy:
    groups = taxonomy.groups.values()
    return Taxonomy(
        [replace(skill, description="") for skill in taxonomy],
        [replace(group, description="") for group in groups],
    )
