"""The lines and rows of text files that nobody vouches for, within bounds of memory."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from .errors import Errors

# Bytes. Of a line, and of a row of a table, which may be many lines: more than 16 times what
# spaCy takes for a text.
MAX_LINE = 2**24
# Of a file that is read as one ad.
MAX_AD = 2**24
# Of one in Markdown, whose parser takes some hundred times as much memory.
MAX_MARKDOWN = 2**20
# Of a file whose rows are all held at once, such as a benchmark, when it is decompressed.
MAX_HELD = 2**28
# What is held of a line that is passed over.
PIECE = 2**16


class Lines:
    """The decoded lines of a file, plain or gzipped; `number` is the line read last, from 1. It
    can be read on after an error in a line, but not after one of the file.

    Raises ValueError: S304 and S317 for a line that is no text or too long, S305 and S319 for a
    file that can't be read or is too large.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO | None = None,
        *,
        max_bytes: int | None = None,
    ) -> None:
        """file: the open file, if it is none that the path leads to. max_bytes: of the whole file,
        if it is held as a whole."""
        self.path = path
        self.number = 0
        self.max_bytes = max_bytes
        self._lines = self._read(file)

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if len(line) > MAX_LINE:
            message = Errors.S317.format(
                path=self.path, line=self.number, limit=MAX_LINE
            )
            raise ValueError(message)
        try:
            text = line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError:
            text = "\0"
        # UTF-16 of English text is valid UTF-8, with a NUL beside each letter.
        if "\0" in text:
            raise ValueError(Errors.S304.format(path=self.path, line=self.number))
        return text

    def _read(self, file: BinaryIO | None) -> Iterator[bytes]:
        """The lines; of one that is too long as much as shows it, and on the next call what
        follows is passed over, which may take long."""
        size = 0
        try:
            with self._open() if file is None else nullcontext(file) as opened:
                while line := opened.readline(MAX_LINE + 1):
                    size += len(line)
                    if self.max_bytes is not None and size > self.max_bytes:
                        message = Errors.S319.format(
                            path=self.path, line=self.number, limit=self.max_bytes
                        )
                        raise ValueError(message)
                    yield line
                    if len(line) > MAX_LINE:
                        _pass_over(opened, line)
        except (EOFError, OSError, zlib.error) as err:
            message = Errors.S305.format(path=self.path, line=self.number, error=err)
            raise ValueError(message) from None

    def _open(self) -> BinaryIO | gzip.GzipFile:
        if self.path.suffix.lower() == ".gz":
            return gzip.open(self.path, "rb")
        return open(self.path, "rb")


def _pass_over(file: BinaryIO | gzip.GzipFile, line: bytes) -> None:
    """Read to the end of the line of which this is a part."""
    while line and not line.endswith(b"\n"):
        line = file.readline(PIECE)


def whole_lines(
    file: BinaryIO, path: Path, max_bytes: int | None = None
) -> Iterator[bytes]:
    """The lines of a file that runs append to, but for a last one that was cut short.

    max_bytes: of all of them, if they are held. Raises ValueError: S317, S319.
    """
    size = 0
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), b""), 1):
        size += len(line)
        if len(line) > MAX_LINE:
            message = Errors.S317.format(path=path, line=number, limit=MAX_LINE)
            raise ValueError(message)
        if max_bytes is not None and size > max_bytes:
            message = Errors.S319.format(path=path, line=number, limit=max_bytes)
            raise ValueError(message)
        if line.endswith(b"\n"):
            yield line


def read_json(path: Path) -> Any:
    """A file of one JSON value. Raises OSError, or ValueError if it is damaged or too large."""
    # Raises OSError if there is none.
    path.stat()
    text = read_text(Lines(path, max_bytes=MAX_HELD))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ValueError(Errors.S320.format(path=path, error=err)) from err


def read_text(lines: Lines) -> str:
    """The file as a whole, with the line ends it has."""
    text = io.StringIO(newline="")
    text.writelines(lines)
    return text.getvalue()


def csv_rows(lines: Lines, delimiter: str = ",") -> Iterator[list[str]]:
    """The cells of each row, as spreadsheets write them, to the last line of which
    ``lines.number`` points. Raises ValueError: S309, S318 or what `Lines` does."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    start, size = 1, 0

    def counted() -> Iterator[str]:
        nonlocal size
        for line in lines:
            size += len(line)
            if size > MAX_LINE:
                message = Errors.S318.format(
                    path=lines.path, line=start, limit=MAX_LINE
                )
                raise ValueError(message)
            yield line

    try:
        for row in csv.reader(counted(), delimiter=delimiter, strict=True):
            yield row
            start, size = lines.number + 1, 0
    except csv.Error as err:
        message = Errors.S309.format(path=lines.path, line=start, error=err)
        raise ValueError(message) from None
