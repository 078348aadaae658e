"""``python -m spacy skills growth``: seconds and memory for more and more sentences."""

import io
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from enum import Enum
from pathlib import Path
from typing import Any

import srsly
from pydantic import TypeAdapter
from typer import Argument, Option
from typing_extensions import TypedDict
from wasabi import msg

from .. import __version__
from ..errors import Errors
from ..files import keep_inputs, write_file
from ..growth import TASKS, Cost, write_distinct
from ..labelling import end_with_parent
from ..lines import read_json
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline


class Task(str, Enum):
    """Those of ``growth.TASKS``."""

    annotating = "annotating"
    labelling = "labelling"


@skills_cli.command("growth")
def growth_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    sentences: Path = Argument(..., help="Job ads, or a table of sentences"),
    output: Path = Option(
        ..., "--output", "-o", dir_okay=False, help="JSON file for the results"
    ),
    plot: Path | None = Option(
        None, "--plot", dir_okay=False, help="PNG file for a figure (needs matplotlib)"
    ),
    size: list[int] = Option(
        [1_000, 10_000, 100_000, 1_000_000],
        "--size",
        "-n",
        min=1,
        help="Distinct sentences; repeatable",
    ),
    task: list[Task] = Option(
        list(Task), "--task", "-t", help="What to measure; repeatable"
    ),
    text_field: str = Option(
        "text", help="Field or column with the text, or column number without a header"
    ),
) -> None:
    """Annotate more and more distinct sentences, label them distantly, and print what it costs,
    each time in a process of its own that does nothing else.

    Run it again after an interruption, or with more sizes: it goes on with what the output lacks.
    """
    try:
        if plot is not None:
            keep_inputs(plot, sentences, output)
        results = _Results(output, pipeline, sentences, text_field)
        for n in sorted(set(size)):
            if results.exhausted_below(n):
                break
            missing = results.missing(n, task)
            _measure_size(results, pipeline, sentences, n, text_field, missing)
        _print(results.rows)
        if plot is not None:
            write_file(plot, _draw(results.rows))
    except (ImportError, OSError, RuntimeError, ValueError) as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        msg.fail("Interrupted; the same command goes on with what is left", exits=1)


class _Row(TypedDict):
    """What a task cost: see ``growth.Cost``."""

    task: str
    size: int
    sentences: int
    seconds: float
    megabytes_before: float
    peak_megabytes: float


_ROWS = TypeAdapter(list[_Row])


class _Results:
    """The output file: a row of each task and size."""

    def __init__(
        self, path: Path, pipeline: str, sentences: Path, text_field: str
    ) -> None:
        """Raises ValueError (S917) if it holds something else."""
        self.path = path
        self.settings = {
            "version": __version__,
            "pipeline": pipeline,
            "ads": [sentences.name, sentences.stat().st_size],
            "text_field": text_field,
        }
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            try:
                saved = read_json(path)
                if saved["settings"] != self.settings:
                    raise ValueError(saved["settings"])
                self.rows = [dict(r) for r in _ROWS.validate_python(saved["rows"])]
            except (KeyError, TypeError, ValueError) as err:
                raise ValueError(Errors.S917.format(path=path)) from err

    def exhausted_below(self, size: int) -> bool:
        """Whether a smaller size took all sentences there are."""
        return any(row["sentences"] < row["size"] < size for row in self.rows)

    def missing(self, size: int, tasks: Sequence[Task]) -> list[str]:
        """Those of the tasks that were not done yet."""
        done = {row["task"] for row in self.rows if row["size"] == size}
        return [task.value for task in tasks if task.value not in done]

    def add(self, **row: Any) -> None:
        self.rows.append(row)
        content = {"settings": self.settings, "rows": self.rows}
        write_file(self.path, srsly.json_dumps(content, indent=2).encode("utf8"))


def _measure_size(
    results: _Results,
    pipeline: str,
    source: Path,
    size: int,
    text_field: str,
    missing: Sequence[str],
) -> None:
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        # A table has lines as long as they are; a text would be read as one ad.
        sentences = Path(folder) / "sentences.jsonl"
        n = write_distinct(source, sentences, size, text_field)
        if not n:
            raise ValueError(Errors.S914.format(path=source))
        for task in missing:
            cost = _in_fresh_process(task, pipeline, sentences, n)
            results.add(task=task, size=size, sentences=n, **cost._asdict())


def _in_fresh_process(task: str, pipeline: str, sentences: Path, n: int) -> Cost:
    """Memory and caches are its own. Raises RuntimeError (S918) if it is killed."""
    executor = ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=end_with_parent
    )
    with executor:
        try:
            return executor.submit(_measure, task, pipeline, sentences, n).result()
        except BrokenProcessPool:
            raise RuntimeError(Errors.S918.format(task=task, n=n)) from None
        except KeyboardInterrupt:
            # It may have reached this process alone, which would wait for the other's end.
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _measure(task: str, pipeline: str, sentences: Path, n: int) -> Cost:
    nlp = open_pipeline(pipeline)
    _, ranker = find_component(nlp, pipeline)
    return TASKS[task](nlp, ranker, sentences, n)


def _print(rows: list[dict[str, Any]]) -> None:
    cells = [
        (
            row["task"],
            f"{row['sentences']:,}",
            f"{row['seconds']:,.1f}",
            f"{row['sentences'] / row['seconds']:,.0f}",
            f"{row['megabytes_before']:,.0f}",
            f"{row['peak_megabytes']:,.0f}",
        )
        for row in sorted(rows, key=lambda row: (row["task"], row["size"]))
    ]
    header = ("", "sentences", "seconds", "sentences/s", "MB before", "MB at most")
    aligns = ("l", *("r" for _ in header[1:]))
    msg.table(cells, header=header, divider=True, aligns=aligns)


def _draw(rows: list[dict[str, Any]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    titles = {"seconds": "seconds", "peak_megabytes": "MB at most"}
    for panel, (key, title) in zip(axes, titles.items()):
        for task in TASKS:
            points = sorted(
                (row["sentences"], row[key]) for row in rows if row["task"] == task
            )
            panel.plot(*zip(*points), marker="o", label=task)
        panel.set_xscale("log")
        panel.set_xlabel("sentences")
        panel.set_ylabel(title)
    axes[0].set_yscale("log")
    axes[1].set_ylim(bottom=0)
    axes[0].legend()
    buffer = io.BytesIO()
    # The version of the library would make each file differ.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
