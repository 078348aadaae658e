"""The parts that a component is saved as: a file each in a folder, or a key each in bytes.

The settings, ``cfg``, hold a digest of every other part, so that one that was changed, is missing
or belongs to another pipeline is noticed.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

import srsly
from pydantic import TypeAdapter, ValidationError

from .compressed import MAX_PART, loads, read_bytes
from .errors import Errors
from .files import replacing

CFG = "cfg"
DIGESTS = "digests"
_DIGESTS = TypeAdapter(dict[str, str])

# As it is saved, or unpacked already.
Part = bytes | dict[str, Any]
Writers = Mapping[str, Callable[[], bytes]]
Loaders = Mapping[str, Callable[[Any], Any]]


def join_parts(
    cfg: Mapping[str, Any], writers: Writers, exclude: Iterable[str]
) -> bytes:
    """All parts and the settings, as spaCy joins the fields of a component."""
    parts = {name: write() for name, write in writers.items() if name not in exclude}
    if CFG not in exclude:
        digests = {name: _digest(data) for name, data in parts.items()}
        parts[CFG] = _dump(cfg, digests)
    return srsly.msgpack_dumps(parts)


def write_parts(
    folder: Path,
    cfg: Mapping[str, Any],
    writers: Writers,
    exclude: Iterable[str],
    optional: Iterable[str] = (),
) -> None:
    """A file for each part and the settings. What was there before stays until all of them are
    written; then optional ones that this component lacks are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    with ExitStack() as files:
        for name, write in writers.items():
            if name not in exclude:
                data = write()
                digests[name] = _digest(data)
                files.enter_context(replacing(folder / name)).write_bytes(data)
        if CFG not in exclude:
            partial = files.enter_context(replacing(folder / CFG))
            partial.write_bytes(_dump(cfg, digests))
    for name in set(optional) - set(writers):
        (folder / name).unlink(missing_ok=True)


class SavedParts:
    """Loads what the functions above have saved, with errors that name component and part."""

    def __init__(self, component: str, source: Path | Mapping[str, Part]) -> None:
        """source: a folder, or parts by their names."""
        self.component = component
        self.source = source
        self._digests: dict[str, str] = {}
        self._loaded: dict[str, str] = {}

    @classmethod
    def from_bytes(cls, component: str, data: bytes) -> "SavedParts":
        """Raises ValueError if these are no joined parts."""
        try:
            return cls(component, dict(loads(data)))
        except (TypeError, ValueError) as err:
            message = Errors.S020.format(name=component, place="the bytes", reason=err)
            raise ValueError(message) from err

    def load(
        self,
        cfg: dict[str, Any],
        loaders: Loaders,
        *,
        settings: TypeAdapter,
        exclude: Iterable[str],
        optional: Iterable[str] = (),
    ) -> None:
        """Update the settings and load the parts, in this order. Of a folder's parts only
        optional ones may be missing, and none that it was saved with.

        settings: what those of this component look like.

        Raises ValueError for a damaged part, FileNotFoundError for a missing one.
        """
        if CFG not in exclude and self._there(CFG):
            self._load(CFG, lambda data: self._load_cfg(cfg, settings, data))
        for name, load in loaders.items():
            if name in exclude or (name in optional and not self._expected(name)):
                continue
            if self._there(name):
                self._load(name, load)

    def check_digests(self) -> None:
        """Raises ValueError if a part that was loaded is not what was saved with the settings.
        Older versions saved no digests."""
        for name, digest in self._loaded.items():
            if self._digests[name] != digest:
                message = Errors.S022.format(
                    name=self.component, place=self.place(name)
                )
                raise ValueError(message)

    def place(self, name: str) -> str:
        """How messages name the part."""
        if isinstance(self.source, Path):
            return str(self.source / name)
        return f"the part '{name}'"

    def _expected(self, name: str) -> bool:
        """Whether an optional part belongs to what was saved."""
        return name in self._digests if self._digests else self._exists(name)

    def _exists(self, name: str) -> bool:
        if isinstance(self.source, Path):
            return (self.source / name).is_file()
        return name in self.source

    def _there(self, name: str) -> bool:
        """Whether the part exists; an error if it has to."""
        if self._exists(name):
            return True
        if isinstance(self.source, Path) or name in self._digests:
            message = Errors.S021.format(name=self.component, place=self.place(name))
            raise FileNotFoundError(message)
        return False

    def _read(self, name: str) -> Part:
        if isinstance(self.source, Path):
            return read_bytes(self.source / name, MAX_PART)
        return self.source[name]

    def _load(self, name: str, load: Callable[[Any], Any]) -> None:
        try:
            data = self._read(name)
        except ValueError as err:
            raise self._damaged(name, err) from err
        try:
            load(data)
        # The libraries that read weights and tokenizers raise whatever they like.
        except Exception as err:
            raise self._damaged(name, err) from err
        if name in self._digests:
            self._loaded[name] = _digest(data)

    def _damaged(self, name: str, err: Exception) -> ValueError:
        reason = str(err) or type(err).__name__
        place = self.place(name)
        message = Errors.S020.format(name=self.component, place=place, reason=reason)
        return ValueError(message)

    def _load_cfg(
        self, cfg: dict[str, Any], settings: TypeAdapter, data: bytes
    ) -> None:
        saved = srsly.json_loads(data)
        _check(settings, saved, CFG)
        digests = saved.pop(DIGESTS, {})
        _check(_DIGESTS, digests, DIGESTS)
        self._digests = digests
        cfg.update(saved)


def _check(wanted: TypeAdapter, value: Any, place: str) -> None:
    """Raises ValueError, with the first setting of another kind."""
    try:
        wanted.validate_python(value, strict=True)
    except ValidationError as err:
        first = err.errors()[0]
        path = ".".join(map(str, (place, *first["loc"])))
        raise ValueError(f"{path}: {first['msg']}") from err


def _dump(cfg: Mapping[str, Any], digests: Mapping[str, str]) -> bytes:
    return srsly.json_dumps({**cfg, DIGESTS: digests}).encode("utf8")


def _digest(data: Any) -> str:
    return blake2b(data, digest_size=16).hexdigest()
