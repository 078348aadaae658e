"""Packed data, zlib and msgpack, of files that nobody vouches for: unpacked within bounds, or
refused with a ValueError that says why."""

import gc
import os
import zlib
from pathlib import Path
from typing import Any

from srsly import msgpack

# Bytes, and what they unpack to. Of a taxonomy, an index of names or a shard of a corpus: ESCO's
# unpack to less than a tenth.
MAX_DATA = 2**28
# Of a ranker or a spanner, with its weights.
MAX_WEIGHTS = 2**30
# Of a part of a saved component.
MAX_PART = 2**32
PIECE = 2**20
# Of a list or a dict in them.
MAX_ITEMS = 2**21


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file. Raises OSError, or ValueError if it is larger than the limit."""
    with path.open("rb") as file:
        # Of a pipe it is 0. Memory is taken for all that is asked for.
        size = os.fstat(file.fileno()).st_size
        check_size(size, limit)
        pieces = [file.read(size)]
        while piece := file.read(PIECE):
            size += len(piece)
            check_size(size, limit)
            pieces.append(piece)
    return b"".join(pieces) if len(pieces) > 1 else pieces[0]


def inflate(data: bytes, limit: int) -> bytes:
    """What zlib compressed. Raises ValueError if it is damaged or larger than the limit."""
    engine = zlib.decompressobj()
    try:
        content = engine.decompress(data, limit + 1)
    except (TypeError, zlib.error) as err:
        raise ValueError(str(err)) from err
    check_size(len(content), limit)
    if not engine.eof:
        raise ValueError("the data is cut short")
    return content


def loads(data: bytes) -> Any:
    """What msgpack wrote: plain data and arrays of numbers, never objects, for which numpy would
    need pickle. Raises ValueError, whatever is wrong with it.

    As srsly.msgpack_loads, which lets lists claim any length, and after an error leaves the
    garbage collector off.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return msgpack.unpackb(
            data, raw=False, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS
        )
    except Exception as err:
        # The hook that makes arrays raises what numpy raises for any dtype and shape.
        raise ValueError(f"{type(err).__name__} {err}"[:200]) from err
    finally:
        if collects:
            gc.enable()


def check_size(size: int, limit: int) -> None:
    """Raises ValueError if there are more bytes than the limit."""
    if size > limit:
        raise ValueError(f"it holds more than {limit:,} bytes")
