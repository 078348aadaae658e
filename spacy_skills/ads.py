"""Reads job ads from the files people keep them in, one at a time."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import Errors

# An ad may be longer than the csv module's limit of 131,072 characters a field.
MAX_FIELD = 2**27


class Ad(NamedTuple):
    """One job ad. `source` is "file:line", the line on which the ad begins."""

    text: str
    source: str


def read_ads(path: str | Path, *, text_field: str = "text") -> Iterator[Ad]:
    """Stream the job ads of a file, or of all files under a folder in sorted order.

    Reads UTF-8, plain or gzipped: .txt (one ad a file), .jsonl (the ad is the string
    under `text_field`), .csv and .tsv (the ad is in the column with that heading, as
    spreadsheets write them). If `text_field` is a number, the table has no header, the
    column is counted from 0, and a .tsv is taken line by line without quoting. Empty
    ads are skipped. No more than one ad is held in memory.

    Raises ValueError (S301-S310), naming file and line, for what can't be read.
    """
    for file in find_ad_files(Path(path)):
        for ad in READERS[_ad_suffix(file)](Lines(file), text_field):
            if ad.text and not ad.text.isspace():
                yield ad


def find_ad_files(path: Path) -> list[Path]:
    """The files that `read_ads` reads, in its order. Raises ValueError (S301-S303)."""
    suffixes = ", ".join(READERS)
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and not file.name.startswith(".")
            and _ad_suffix(file) in READERS
        )
        if not files:
            raise ValueError(Errors.S303.format(path=path, suffixes=suffixes))
        return files
    if not path.exists():
        raise ValueError(Errors.S301.format(path=path, suffixes=suffixes))
    if _ad_suffix(path) not in READERS:
        raise ValueError(Errors.S302.format(path=path, suffixes=suffixes))
    return [path]


def _ad_suffix(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


class Lines:
    """The decoded lines of a file; `number` is the line read last, from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        opener = gzip.open if self.path.suffix.lower() == ".gz" else open
        try:
            with opener(self.path, "rb") as file:
                for line in file:
                    self.number += 1
                    yield self._decode(line)
        except (EOFError, OSError, zlib.error) as err:
            message = Errors.S305.format(path=self.path, line=self.number, error=err)
            raise ValueError(message) from None

    def _decode(self, line: bytes) -> str:
        try:
            text = line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError:
            text = "\0"
        # UTF-16 of English text is valid UTF-8, with a NUL beside each letter.
        if "\0" in text:
            raise ValueError(Errors.S304.format(path=self.path, line=self.number))
        return text


def _read_text(lines: Lines, text_field: str) -> Iterator[Ad]:
    yield Ad("".join(lines), f"{lines.path}:1")


def _read_jsonl(lines: Lines, text_field: str) -> Iterator[Ad]:
    for line in lines:
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise _jsonl_error(lines, str(err)) from None
        if not isinstance(record, dict):
            raise _jsonl_error(lines, f"found a {type(record).__name__}")
        text = record.get(text_field, 0)
        if text is not None and not isinstance(text, str):
            found = ", ".join(key for key in record if isinstance(record[key], str))
            message = Errors.S307.format(
                path=lines.path, line=lines.number, field=text_field, found=found
            )
            raise ValueError(message)
        yield Ad(text or "", f"{lines.path}:{lines.number}")


def _jsonl_error(lines: Lines, error: str) -> ValueError:
    message = Errors.S306.format(path=lines.path, line=lines.number, error=error)
    return ValueError(message)


def _read_csv(lines: Lines, text_field: str) -> Iterator[Ad]:
    return _read_table(lines, text_field, ",")


def _read_tsv(lines: Lines, text_field: str) -> Iterator[Ad]:
    if not text_field.isdecimal():
        return _read_table(lines, text_field, "\t")
    rows = (line.rstrip("\r\n").split("\t") for line in lines)
    return _read_column(lines, rows, int(text_field))


def _read_table(lines: Lines, text_field: str, delimiter: str) -> Iterator[Ad]:
    rows = _csv_rows(lines, delimiter)
    if text_field.isdecimal():
        return _read_column(lines, rows, int(text_field))
    header = [name.strip() for name in next(rows, [])]
    if text_field not in header:
        found = ", ".join(name[:40] for name in header[:20]) or "it is empty"
        message = Errors.S308.format(path=lines.path, field=text_field, found=found)
        raise ValueError(message)
    return _read_column(lines, rows, header.index(text_field))


def _csv_rows(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in rows:
            yield row
            start = lines.number + 1
    except csv.Error as err:
        message = Errors.S309.format(path=lines.path, line=start, error=err)
        raise ValueError(message) from None


def _read_column(lines: Lines, rows: Iterator[list[str]], column: int) -> Iterator[Ad]:
    start = lines.number + 1
    for row in rows:
        if len(row) > column:
            yield Ad(row[column], f"{lines.path}:{start}")
        elif any(row):
            message = Errors.S310.format(
                path=lines.path, line=start, found=len(row), field=column
            )
            raise ValueError(message)
        start = lines.number + 1


READERS: dict[str, Callable[[Lines, str], Iterator[Ad]]] = {
    ".txt": _read_text,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
}
