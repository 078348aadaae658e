"""Files that are written whole or not at all, even if the power fails."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import Errors

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file and make its folder; until it is whole, an older one stays. Raises OSError."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def keep_inputs(output: Path, *inputs: Path) -> None:
    """Raises ValueError if the output is one of the files that are read."""
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise ValueError(Errors.S919.format(path=output))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to instead: what is there afterwards becomes the file, unless there was
    an error. A link stays one; pipes and devices are written to as they are."""
    # Before links are followed: that of /dev/stdout leads to a name that no pipe has.
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with naming_full_disk(path):
            yield partial
            with partial.open("rb+") as file:
                sync(file)
            os.replace(partial, path)
            _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(file: BinaryIO) -> None:
    """Return when what was written is on the disk. Raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """The same for the names in it. Not all systems can, and then need it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """If the disk is full, raises an OSError that says what could not be written: Python's own
    doesn't."""
    try:
        yield
    except OSError as err:
        if err.errno not in FULL:
            raise
        message = Errors.S024.format(path=path, reason=err.strerror)
        raise OSError(message) from err
