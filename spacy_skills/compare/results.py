"""The results of runs, a line each, so that an interrupted comparison goes on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import srsly

from ..errors import Errors
from ..files import naming_full_disk, sync
from ..lines import MAX_HELD, whole_lines
from ..scorer import METRICS
from .design import Run

# Sentence scores are fractions of small numbers: five digits lose nothing.
DIGITS = 5


class Results:
    """A JSONL file of finished runs.

    A line without an end, left by an interrupted write, is dropped; any other that can't
    be read raises ValueError. Runs of other data or settings stay in the file, unread.
    """

    def __init__(self, path: Path, digests: Mapping[tuple[str, str], str]):
        """digests: of the data and settings of each (set-up, contender)."""
        self.path = path
        self._digests = digests
        self._records: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._load()

    def _load(self) -> None:
        end = 0
        with self.path.open("r+b") as file:
            for number, line in enumerate(whole_lines(file, self.path, MAX_HELD), 1):
                self._parse(line, number)
                end += len(line)
            file.truncate(end)

    def _parse(self, line: bytes, number: int) -> None:
        try:
            record = srsly.json_loads(line)
            for rows in record["scores"].values():
                numpy.asarray(rows, dtype="float64").reshape(-1, len(METRICS))
            self._records[record["key"]] = record
        except (AttributeError, ValueError, KeyError, TypeError) as err:
            message = Errors.S604.format(path=self.path, line=number, reason=err)
            raise ValueError(message) from err

    def key(self, run: Run) -> str:
        digest = self._digests[run.set_up, run.contender]
        return f"{digest} {srsly.json_dumps(asdict(run), sort_keys=True)}"

    def get(self, run: Run) -> dict[str, Any] | None:
        return self._records.get(self.key(run))

    def add(self, run: Run, scores: dict[str, numpy.ndarray], **more: Any) -> None:
        """scores: of each sentence of each set, [sentences, 4]."""
        record = {
            "key": self.key(run),
            "run": asdict(run),
            "scores": {
                name: values.round(DIGITS).tolist() for name, values in scores.items()
            },
            **more,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = srsly.json_dumps(record)
        with naming_full_disk(self.path), self.path.open("ab") as file:
            file.write(f"{line}\n".encode())
            sync(file)
        # As it will be read: the last bits of a number may not come back.
        self._records[record["key"]] = srsly.json_loads(line)

    def scores(self, run: Run) -> dict[str, numpy.ndarray]:
        """Sentence scores of a finished run by set, [sentences, 4]. Raises KeyError."""
        record = self._records[self.key(run)]
        return {name: numpy.asarray(rows) for name, rows in record["scores"].items()}
