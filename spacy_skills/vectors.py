"""Text vectors: unit length, and caches so that an encoder sees a text once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakSet

import numpy
from thinc.types import Floats2d

from .errors import Errors
from .files import naming_full_disk, sync

KEY_BYTES = 16


def normalise(vectors: Floats2d) -> Floats2d:
    """Rows of unit length; rows of zeros stay as they are."""
    norms = (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    return vectors / (norms + (norms == 0))


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """What was found for the texts that were asked for last, a fixed number of them."""

    _instances: "WeakSet[Recent]" = WeakSet()

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._instances.add(self)

    @classmethod
    def forget_all(cls) -> None:
        """No text has been asked for: as measurements of speed need it."""
        for recent in cls._instances:
            recent._values.clear()

    def fill(
        self, keys: Sequence[Key], find: Callable[[list[Key]], Iterable[Value]]
    ) -> list[Value]:
        """What belongs to each key; find is asked for those that are new, each once."""
        found = {key: self._values[key] for key in keys if key in self._values}
        new = list(dict.fromkeys(key for key in keys if key not in found))
        if new:
            found.update(zip(new, find(new), strict=True))
        for key in found:
            self._values[key] = found[key]
            self._values.move_to_end(key)
        while len(self._values) > self.size:
            self._values.popitem(last=False)
        return [found[key] for key in keys]


class VectorCache:
    """Maps texts to float32 vectors, in memory and, given a path, on disk.

    On disk it is two append-only files in a folder named after the encoder, so that a run
    killed at any moment loses only what it had not flushed: ``keys.bin`` (16 bytes a text)
    and ``vectors.bin`` (4 · width bytes a text).
    """

    def __init__(self, width: int, path: Path | None = None, encoder: str = ""):
        """encoder: whatever tells two encoders apart; their vectors are kept apart."""
        self.width = width
        self._rows: dict[bytes, int] = {}
        self._blocks: list[numpy.ndarray] = []
        self._block_ends: list[int] = []
        self._folder: Path | None = None
        if path is not None:
            digest = blake2b(encoder.encode("utf8"), digest_size=6).hexdigest()
            self._folder = Path(path) / f"{digest}-{width}"
            self._load()

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, texts: list[str]) -> list[int]:
        """The row of each text, -1 for those not in the cache."""
        return [self._rows.get(_key(text), -1) for text in texts]

    def take(self, rows: list[int]) -> numpy.ndarray:
        """Vectors of these rows, [len(rows), width]."""
        out = numpy.empty((len(rows), self.width), dtype="float32")
        wanted = numpy.asarray(rows, dtype="int64")
        blocks = numpy.searchsorted(self._block_ends, wanted, side="right")
        for block in numpy.unique(blocks):
            inside = blocks == block
            first = self._block_ends[block] - len(self._blocks[block])
            out[inside] = self._blocks[block][wanted[inside] - first]
        return out

    def add(self, texts: list[str], vectors: numpy.ndarray) -> None:
        """Keep the vectors [len(texts), width] of distinct texts that are not in here yet."""
        vectors = numpy.ascontiguousarray(vectors, dtype="float32")
        keys = [_key(text) for text in texts]
        first = len(self._rows)
        self._rows.update((key, first + i) for i, key in enumerate(keys))
        self._append_block(vectors)
        if self._folder is not None:
            # Vectors first: a key is only ever on disk after its vector.
            for name, content in (
                ("vectors.bin", vectors.tobytes()),
                ("keys.bin", b"".join(keys)),
            ):
                path = self._folder / name
                with naming_full_disk(path), path.open("ab") as file_:
                    file_.write(content)
                    sync(file_)

    def _append_block(self, vectors: numpy.ndarray) -> None:
        # Blocks that double in size: few to search, and no row is copied more than log(n) times.
        while self._blocks and len(self._blocks[-1]) <= len(vectors):
            vectors = numpy.concatenate([self._blocks.pop(), vectors])
            self._block_ends.pop()
        self._blocks.append(vectors)
        self._block_ends.append(len(vectors) + (self._block_ends or [0])[-1])

    def _load(self) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        keys_path, vectors_path = (
            self._folder / "keys.bin",
            self._folder / "vectors.bin",
        )
        for path in (keys_path, vectors_path):
            path.touch()
        row_bytes = 4 * self.width
        n_keys = keys_path.stat().st_size // KEY_BYTES
        if vectors_path.stat().st_size < n_keys * row_bytes:
            raise ValueError(Errors.S009.format(path=self._folder))
        # What an interrupted write left behind its last whole row is cut off.
        for path, size in ((keys_path, KEY_BYTES), (vectors_path, row_bytes)):
            with path.open("ab") as file_:
                file_.truncate(n_keys * size)
        raw = keys_path.read_bytes()
        keys = (raw[i : i + KEY_BYTES] for i in range(0, len(raw), KEY_BYTES))
        self._rows = {key: row for row, key in enumerate(keys)}
        if n_keys:
            vectors = numpy.fromfile(vectors_path, dtype="<f4")
            self._append_block(vectors.reshape(n_keys, self.width))


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf8", "surrogatepass"), digest_size=KEY_BYTES).digest()
