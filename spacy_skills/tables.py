"""Extracted skills as files: JSON lines, a record an ad, or a table with a row for each skill
of each ad, as CSV or Parquet."""

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import srsly

from .errors import Errors
from .extraction import AdRecord
from .files import replacing

COLUMNS = (
    "source",
    "uri",
    "name",
    "score",
    "type",
    "reuse_level",
    "groups",
    "evidence",
    "evidence_type",
    "start",
    "end",
    "mentions",
)
# With these a cell of a CSV is a formula to spreadsheets (OWASP, CSV Injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Rows of a Parquet file that are held in memory.
ROW_GROUP = 50_000


def write_records(path: Path, records: Iterable[AdRecord]) -> None:
    """Write a .jsonl, .csv or .parquet file, whole or not at all. Raises ValueError for
    another suffix, ImportError if Parquet's library is missing."""
    with replacing(path) as partial:
        writer(path)(partial, records)


def writer(path: Path) -> Callable[[Path, Iterable[AdRecord]], None]:
    """What writes files with this suffix. Raises ValueError and ImportError as above."""
    if path.suffix not in WRITERS:
        allowed = ", ".join(WRITERS)
        raise ValueError(Errors.S908.format(path=path, allowed=allowed))
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as err:
            raise ImportError(Errors.S909.format(path=path)) from err
    return WRITERS[path.suffix]


def rows(records: Iterable[AdRecord]) -> Iterator[dict[str, Any]]:
    """One for each skill of each ad, with its best evidence; groups from the uppermost, joined
    by " > "; mentions is the number of pieces of evidence."""
    for record in records:
        for skill in record["skills"]:
            best = max(skill["evidence"], key=lambda evidence: evidence["score"])
            yield {
                "source": record["source"],
                "uri": skill["uri"],
                "name": skill["name"],
                "score": skill["score"],
                "type": skill["type"],
                "reuse_level": skill["reuse_level"],
                "groups": " > ".join(group["name"] for group in skill["groups"]),
                "evidence": best["text"],
                "evidence_type": best["evidence"],
                "start": best["start"],
                "end": best["end"],
                "mentions": len(skill["evidence"]),
            }


def _write_jsonl(path: Path, records: Iterable[AdRecord]) -> None:
    with path.open("w", encoding="utf8") as file:
        file.writelines(srsly.json_dumps(record) + "\n" for record in records)


def _write_csv(path: Path, records: Iterable[AdRecord]) -> None:
    with path.open("w", encoding="utf8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(
            {key: _harmless(value) for key, value in row.items()}
            for row in rows(records)
        )


def _harmless(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if is_formula else value


def _write_parquet(path: Path, records: Iterable[AdRecord]) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = {"score": pyarrow.float64()}
    kinds |= dict.fromkeys(("start", "end", "mentions"), pyarrow.int64())
    schema = pyarrow.schema([(c, kinds.get(c, pyarrow.string())) for c in COLUMNS])
    with ParquetWriter(path, schema) as table:
        found = rows(records)
        while part := list(islice(found, ROW_GROUP)):
            table.write_table(pyarrow.Table.from_pylist(part, schema=schema))


WRITERS: dict[str, Callable[[Path, Iterable[AdRecord]], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
