"""Damage to a file: of its bytes, and of what JSON and msgpack hold."""

import copy
import json
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from srsly.msgpack._packer import Packer
from srsly.msgpack._unpacker import unpackb

# What readers have stumbled over, or might.
TOKENS = [
    *(b'"', b"'", b"\n", b"\r", b"\r\n", b"\t", b",", b"\0", b"\xff", b"\xef\xbb\xbf"),
    *(b"{", b"}", b"[]", b"null", b"-1", b"NaN", b"1e999", b"true", b'""', b"\\ud800"),
    *("\u2028".encode(), "\x85".encode(), "\U0001f600".encode(), b"\xff\xfe", b"<!--"),
    *(b"<p>", b"</p>", b"<pre>", b"&#0;", b"&#x110000;", b"&amp;amp;", b"<![CDATA["),
    *(b"[" * 3000, b'{"a":' * 3000, b"<b>" * 3000, b"> " * 300, b"9" * 6000),
    *(b"x" * 70_000, b"," * 20_000, b"*" * 500, b"`" * 500, b"\xc1", b"\xdd\xff\xff\xff\xff"),
]  # fmt: skip
NUMBERS = (0, -1, 1, 3, 255, 65_536, 2**31, 2**63 - 1, 2**64 - 1, -(2**63), 0.5, 1e308)
TEXTS = ("", "x", " ", "\n", "http://example.org/skill/bread", "O", "é" * 200, "../x")


def mutate_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(BYTE_MUTATIONS)(rng, data, others)
    return data


def _place(rng: Random, data: bytes) -> int:
    # Headers and lengths stand at the beginning.
    return rng.randint(0, min(len(data), 64) if rng.random() < 0.2 else len(data))


def _flip(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            i = min(_place(rng, data), len(data) - 1)
            changed[i] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    i = _place(rng, data)
    n = rng.choice((1, 1, 4, 8))
    value = rng.choice((bytes(n), b"\xff" * n, b"\x7f" * n, rng.randbytes(n)))
    return data[:i] + value + data[i + n :]


def _insert(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    i = _place(rng, data)
    return data[:i] + rng.choice(TOKENS) + data[i:]


def _delete(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    i = _place(rng, data)
    return data[:i] + data[i + rng.choice((1, 1, 4, 40, 400)) :]


def _truncate(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: _place(rng, data)]


def _repeat(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    i = _place(rng, data)
    part = data[i : i + rng.choice((1, 8, 60, 500))]
    return data[:i] + part * rng.choice((2, 3, 50)) + data[i:]


def _splice(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return data[: _place(rng, data)] + other[_place(rng, other) :]


BYTE_MUTATIONS: list[Callable[[Random, bytes, Sequence[bytes]], bytes]] = [
    _flip,
    _set,
    _insert,
    _delete,
    _truncate,
    _repeat,
    _splice,
]


def mutate_json_lines(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One of the lines' values becomes another; where the lines are no JSON, bytes."""
    lines = data.split(b"\n")
    i = rng.randrange(len(lines))
    try:
        value = mutate_value(rng, json.loads(lines[i]))
    except ValueError:
        return mutate_bytes(rng, data, others)
    lines[i] = json.dumps(value, default=str).encode("utf8", "surrogatepass")
    return b"\n".join(lines)


def mutate_msgpack(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """As mutate_json_lines; arrays are seen as the dicts that srsly makes of them, and packed
    data in packed data is changed too."""
    value = mutate_value(rng, unpackb(data, raw=False))
    try:
        return Packer(use_bin_type=True).pack(value)
    except (OverflowError, TypeError, ValueError):
        return mutate_bytes(rng, data, others)


def mutate_value(rng: Random, value: Any) -> Any:
    root = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 2))):
        _mutate_node(rng, root)
    return root[0]


def _mutate_node(rng: Random, root: list[Any]) -> None:
    parent: Any = root
    key: Any = 0
    while isinstance(parent[key], (dict, list)) and parent[key] and rng.random() < 0.9:
        parent = parent[key]
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        key = rng.choice(keys)
    inner = parent[key]
    if isinstance(inner, bytes) and len(inner) > 1 and rng.random() < 0.8:
        parent[key] = _mutate_inner(rng, inner)
        return
    kind = rng.random()
    if kind < 0.1 and parent is not root:
        del parent[key]
    elif kind < 0.25 and isinstance(inner, list):
        parent[key] = (inner * 3 or [inner])[: rng.randint(0, 3 * len(inner))]
    elif kind < 0.35 and parent is not root:
        parent[rng.choice(list(parent)) if isinstance(parent, dict) else 0] = inner
    elif kind < 0.4 and isinstance(parent, dict):
        parent[rng.choice(TEXTS)] = parent.pop(key)
    elif kind < 0.6 and isinstance(inner, (int, float)):
        parent[key] = rng.choice(NUMBERS)
    else:
        others = (None, True, [], {}, [[]], {"a": []}, b"", rng.choice(TEXTS), 7)
        parent[key] = copy.deepcopy(rng.choice(others))


def _mutate_inner(rng: Random, inner: bytes) -> bytes:
    try:
        return zlib.compress(mutate_msgpack(rng, zlib.decompress(inner), [inner]), 1)
    except (zlib.error, ValueError, RecursionError):
        pass
    try:
        return mutate_msgpack(rng, inner, [inner])
    except (ValueError, TypeError, RecursionError):
        return mutate_bytes(rng, inner, [inner])
