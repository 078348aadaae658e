"""Reads job ads from the files people keep them in, one at a time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from .errors import Errors
from .lines import MAX_AD, MAX_MARKDOWN, Lines, csv_rows, read_text
from .markup import Markup

# What is done with an error: it is raised, or reported and what can't be read is skipped.
OnError = Callable[[ValueError], object]


class Ad(NamedTuple):
    """One job ad. `source` is "file:line", the line on which the ad begins; `markup` what
    the file's name says."""

    text: str
    source: str
    markup: Markup = "auto"


def raise_error(error: ValueError) -> NoReturn:
    raise error


def read_ads(
    path: str | Path, *, text_field: str = "text", on_error: OnError = raise_error
) -> Iterator[Ad]:
    """Stream the job ads of a file, or of all files under a folder in sorted order.

    Reads UTF-8, plain or gzipped: .txt, .html, .htm, .md (one ad a file), .jsonl (the ad is
    the string under `text_field`), .csv and .tsv (the ad is in the column with that heading,
    as spreadsheets write them). If `text_field` is a number, the table has no header, the
    column is counted from 0, and a .tsv is taken line by line without quoting. Empty
    ads are skipped. No more than one ad is held in memory, and none of more than MAX_AD bytes.

    Raises ValueError (S301-S310, S317-S319), naming file and line, for what can't be read. If `on_error`
    is given it gets these errors but for S301-S303, and reading goes on with the next ad: in a
    .jsonl or a table without header the next line, else the next file.
    """
    for file in find_ad_files(Path(path)):
        yield from read_lines(Lines(file), text_field=text_field, on_error=on_error)


def read_lines(
    lines: Lines, *, text_field: str = "text", on_error: OnError = raise_error
) -> Iterator[Ad]:
    """The ads of one file, as `read_ads`."""
    found = READERS[_ad_suffix(lines.path)](lines, text_field)
    while True:
        try:
            ad = next(found, None)
        except ValueError as err:
            # Of the whole file: the reader has come to its end.
            ad = err
        if ad is None:
            return
        if isinstance(ad, ValueError):
            on_error(ad)
        elif ad.text and not ad.text.isspace():
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


# What a reader finds: ads, and errors after which it can go on.
Found = Iterator[Ad | ValueError]


def _read_text(lines: Lines, text_field: str) -> Found:
    markup = MARKUP.get(_ad_suffix(lines.path), "auto")
    lines.max_bytes = MAX_MARKDOWN if markup == "markdown" else MAX_AD
    yield Ad(read_text(lines), f"{lines.path}:1", markup)


def _each_line(lines: Lines) -> Iterator[str | ValueError]:
    """The lines, and in the place of those that can't be read the errors."""
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except ValueError as err:
            yield err


def _read_jsonl(lines: Lines, text_field: str) -> Found:
    for line in _each_line(lines):
        if isinstance(line, ValueError):
            yield line
        elif not line.isspace():
            yield _jsonl_ad(line, lines, text_field)


def _jsonl_ad(line: str, lines: Lines, text_field: str) -> Ad | ValueError:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as err:
        return _jsonl_error(lines, str(err))
    if not isinstance(record, dict):
        return _jsonl_error(lines, f"found a {type(record).__name__}")
    text = record.get(text_field, 0)
    if text is not None and not isinstance(text, str):
        keys = [key[:40] for key in record if isinstance(record[key], str)]
        found = ", ".join(keys[:20]) or "nothing"
        message = Errors.S307.format(
            path=lines.path, line=lines.number, field=text_field, found=found
        )
        return ValueError(message)
    return Ad(text or "", f"{lines.path}:{lines.number}")


def _jsonl_error(lines: Lines, error: str) -> ValueError:
    message = Errors.S306.format(path=lines.path, line=lines.number, error=error)
    return ValueError(message)


def _read_csv(lines: Lines, text_field: str) -> Found:
    return _read_table(lines, text_field, ",")


def _read_tsv(lines: Lines, text_field: str) -> Found:
    if not text_field.isdecimal():
        return _read_table(lines, text_field, "\t")
    rows = (
        line if isinstance(line, ValueError) else line.rstrip("\r\n").split("\t")
        for line in _each_line(lines)
    )
    return _read_column(lines, rows, int(text_field))


def _read_table(lines: Lines, text_field: str, delimiter: str) -> Found:
    rows = csv_rows(lines, delimiter)
    if text_field.isdecimal():
        yield from _read_column(lines, rows, int(text_field))
        return
    header = [name.strip() for name in next(rows, [])]
    if text_field not in header:
        found = ", ".join(name[:40] for name in header[:20]) or "it is empty"
        message = Errors.S308.format(path=lines.path, field=text_field, found=found)
        raise ValueError(message)
    yield from _read_column(lines, rows, header.index(text_field))


def _read_column(
    lines: Lines, rows: Iterator[list[str] | ValueError], column: int
) -> Found:
    start = lines.number + 1
    for row in rows:
        if isinstance(row, ValueError):
            yield row
        elif len(row) > column:
            yield Ad(row[column], f"{lines.path}:{start}")
        elif any(row):
            message = Errors.S310.format(
                path=lines.path, line=start, found=len(row), field=column
            )
            yield ValueError(message)
        start = lines.number + 1


READERS: dict[str, Callable[[Lines, str], Found]] = {
    ".txt": _read_text,
    ".html": _read_text,
    ".htm": _read_text,
    ".md": _read_text,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
}
MARKUP: dict[str, Markup] = {".html": "html", ".htm": "html", ".md": "markdown"}
