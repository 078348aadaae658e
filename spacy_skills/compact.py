"""Rankers in one small file: weights of seven bits, and what a pipeline has to carry.

The file is what ``SkillRanker.from_parts`` takes, but with every large array of floats
rounded, and without the skills' descriptions, which nothing needs once classifiers are set.
"""

import zlib
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import srsly
import torch

from .compressed import MAX_WEIGHTS, inflate, loads, read_bytes
from .errors import Errors
from .finder import NameFinder
from .ranker import SkillRanker
from .taxonomy import Taxonomy

SHIPPED = Path(__file__).parent / "pretrained"
SUFFIX = ".ranker"
FORMAT = "spacy_skills.Ranker.v1"
# Arrays with fewer numbers than these stay as they are: biases, norms, the four weights.
MIN_SIZE = 4096
LEVELS = 63
# Bytes of the arrays that a file is unpacked to, four for each of its own.
MAX_RESTORED = 4 * MAX_WEIGHTS
# The other attributes are settings, which the config of the component that is loaded gives.
KEPT_ATTRS = frozenset({"has_transformer"})


def pack(ranker: SkillRanker, finder: NameFinder) -> bytes:
    """The ranker's compact form, with the finder of its skills' names."""
    store = _Store()
    model = srsly.msgpack_loads(ranker.model.to_bytes())
    model["params"] = [store.put_all(params) for params in model["params"]]
    model["shims"] = [[_pack_shim(shim, store) for shim in n] for n in model["shims"]]
    model["attrs"] = [
        {name: value for name, value in node.items() if name in KEPT_ATTRS}
        for node in model["attrs"]
    ]
    content = {
        "taxonomy": _without_descriptions(ranker.taxonomy).to_bytes(),
        "model": model,
        "names": finder.to_bytes(),
        "spanner": None,
        "stored": store.content,
    }
    if ranker.calibration is not None:
        content["calibration"] = ranker.calibration.to_bytes()
    if ranker.spanner is not None:
        spanner = ranker.spanner.to_dict()
        for part in ("weights", "tokenizer"):
            spanner[part] = store.put_all(spanner[part])
        content["spanner"] = spanner
    packed = zlib.compress(srsly.msgpack_dumps(content), level=9)
    return srsly.msgpack_dumps({"format": FORMAT, "content": packed})


def unpack(data: bytes, *, source: str = "bytes") -> dict[str, Any]:
    """What ``SkillRanker.from_parts`` takes. Raises ValueError, naming the source, if the
    data is damaged or something else."""
    try:
        msg = loads(data)
        if msg["format"] != FORMAT:
            raise ValueError(msg["format"])
        content = loads(inflate(msg["content"], MAX_WEIGHTS))
        store = _Store(content["stored"])
        model = content["model"]
        model["params"] = [store.get_all(params) for params in model["params"]]
        model["shims"] = [
            [_unpack_shim(shim, store) for shim in node] for node in model["shims"]
        ]
        parts = {name: content[name] for name in ("taxonomy", "names")}
        parts["model"] = model
        if content["spanner"] is not None:
            spanner = content["spanner"]
            for part in ("weights", "tokenizer"):
                spanner[part] = store.get_all(spanner[part])
            parts["spanner"] = spanner
        if "calibration" in content:
            parts["calibration"] = content["calibration"]
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as err:
        message = Errors.S010.format(path=source, reason=str(err)[:300])
        raise ValueError(message) from err
    return parts


def read_compact(name: str | Path) -> dict[str, Any]:
    """Unpack a file, or by its name a ranker that comes with the package. Raises ValueError
    if there is none or it is damaged."""
    path = _shipped(name) if is_shipped(name) else Path(name)
    if not path.is_file():
        raise ValueError(Errors.S011.format(path=path))
    try:
        data = read_bytes(path, MAX_WEIGHTS)
    except ValueError as err:
        raise ValueError(Errors.S010.format(path=path, reason=err)) from err
    return unpack(data, source=str(path))


def is_shipped(name: str | Path) -> bool:
    """Whether a ranker of this name comes with the package."""
    # A path, if it is absolute, would leave the folder.
    return Path(name).name == str(name) and _shipped(name).is_file()


def _shipped(name: str | Path) -> Path:
    return SHIPPED / f"{name}{SUFFIX}"


def round_array(array: Any) -> Any:
    """Rows of seven-bit integers with a scale each: at most half a step (1/126 of the row's
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
    rounded, scales = value["rounded"], value["scales"]
    if len(rounded) != len(scales):
        raise ValueError("an array has not as many scales as rows")
    rows = numpy.multiply(rounded, scales[:, None], dtype="float32")
    return rows.reshape(value["shape"])


class _Store:
    """Arrays and files by their digest: what encoder and spanner have in common, the
    embeddings first of all, is kept once."""

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        self.content: dict[str, Any] = {} if content is None else content
        self._restored = 0

    def put_all(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values' keys in here, by their names; None for None."""
        return {name: self._put(value) for name, value in values.items()}

    def get_all(self, keys: dict[str, Any]) -> dict[str, Any]:
        return {name: self._get(key) for name, key in keys.items()}

    def _get(self, key: str | None) -> Any:
        value = None if key is None else restore_array(self.content[key])
        # Each use of what is kept once takes memory of its own.
        self._restored += value.nbytes if isinstance(value, numpy.ndarray) else 0
        if self._restored > MAX_RESTORED:
            raise ValueError(f"it holds more than {MAX_RESTORED:,} bytes of weights")
        return value

    def _put(self, value: Any) -> str | None:
        if value is None:
            return None
        raw = value.tobytes() if isinstance(value, numpy.ndarray) else bytes(value)
        key = blake2b(raw, digest_size=16).hexdigest()
        if key not in self.content:
            self.content[key] = round_array(value)
        return key


def _pack_shim(shim: bytes, store: _Store) -> dict[str, Any]:
    """spacy-transformers' HFShim: its torch state becomes arrays."""
    msg = srsly.msgpack_loads(shim)
    state = torch.load(BytesIO(msg["state"]), map_location="cpu", weights_only=True)
    msg["state"] = store.put_all({name: t.numpy() for name, t in state.items()})
    settings = msg["tokenizer"].pop("kwargs")
    msg["tokenizer"] = store.put_all(msg["tokenizer"])
    return {**msg, "tokenizer_settings": settings}


def _unpack_shim(shim: dict[str, Any], store: _Store) -> dict[str, Any]:
    settings = shim.pop("tokenizer_settings")
    tokenizer = {**store.get_all(shim["tokenizer"]), "kwargs": settings}
    state = {
        name: torch.from_numpy(numpy.require(value, requirements="W"))
        for name, value in store.get_all(shim["state"]).items()
    }
    return {**shim, "tokenizer": tokenizer, "state": state}


def _without_descriptions(taxonomy: Taxonomy) -> Taxonomy:
    groups = taxonomy.groups.values()
    return Taxonomy(
        [replace(skill, description="") for skill in taxonomy],
        [replace(group, description="") for group in groups],
    )
