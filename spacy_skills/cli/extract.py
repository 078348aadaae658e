"""``python -m spacy skills extract``: the skills of ads, as JSON lines or a table."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import srsly
import typer
from spacy.language import Language
from tqdm import tqdm
from typer import Argument, Exit, Option

from ..ads import Ad, Lines, OnError, find_ad_files, read_lines
from ..errors import Errors
from ..extraction import AdRecord, Journal, extract_skills
from ..factory import DEFAULT_PRETRAINED
from ..markup import Markup
from ..tables import write_records, writer
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline

STDIN = Path("-")
# Exit codes; 2 is typer's too.
FAILED, WRONG_CALL, SKIPPED, INTERRUPTED = 1, 2, 3, 130


class MarkupOption(str, Enum):
    plain = "plain"
    html = "html"
    markdown = "markdown"


MARKUPS: dict[MarkupOption, Markup] = {
    MarkupOption.plain: "plain",
    MarkupOption.html: "html",
    MarkupOption.markdown: "markdown",
}


class StdinFormat(str, Enum):
    txt = "txt"
    html = "html"
    md = "md"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"


@skills_cli.command("extract")
def extract_cli(
    ads: list[str] = Argument(
        ...,
        help="Ads: files and folders of .txt, .html, .md, .jsonl, .csv and .tsv, plain or "
        ".gz; - for stdin",
    ),
    output: Path | None = Option(
        None,
        "--output",
        "-o",
        help="File for the skills: .jsonl, .csv or .parquet [JSON lines to stdout]",
    ),
    pipeline: str = Option(
        DEFAULT_PRETRAINED,
        "--pipeline",
        "-p",
        help="Pipeline with the component esco_skills, or a packed ranker",
    ),
    text_field: str = Option("text", help="Field or column that holds the ads' text"),
    stdin_format: StdinFormat = Option(
        StdinFormat.txt, "--stdin-format", help="What comes from stdin"
    ),
    markup: MarkupOption | None = Option(
        None, help="What all ads are written in [by their names and HTML tags]"
    ),
    threshold: float | None = Option(
        None, min=0.0, max=1.0, help="Least probability of a skill"
    ),
    precision: float | None = Option(
        None,
        min=0.0,
        max=1.0,
        help="Choose the threshold so that this share of the skills is right; not together "
        "with --threshold",
    ),
    top_k: int | None = Option(None, min=1, help="The most skills of a sentence"),
    group_level: int | None = Option(
        None, min=0, help="Down to which level groups are named"
    ),
    n_process: int = Option(1, "--n-process", "-n", min=1, help="Processes"),
    overwrite: bool = Option(
        False,
        "--overwrite",
        help="Replace the output, and an unfinished run of other ads or settings",
    ),
) -> None:
    """Find the ESCO skills of job ads.

    An ad that can't be read is reported and skipped. With --output, run it again after an
    interruption: it goes on after the last ad, unless ads came from stdin. Exit code: 0 if
    all ads were read, 3 if some were skipped, 1 if none was read, 130 if interrupted.
    """
    if threshold is not None and precision is not None:
        _stop(Errors.S912, WRONG_CALL)
    settings = {
        "threshold": threshold,
        "precision": precision,
        "top_k": top_k,
        "group_level": group_level,
    }
    skipped: list[str] = []

    def report(error: ValueError) -> None:
        skipped.append(str(error))
        tqdm.write(f"Skipped: {error}", file=sys.stderr)

    how: Markup | None = None if markup is None else MARKUPS[markup]
    try:
        files = _files(ads, output)
        about = {
            **settings,
            "pipeline": pipeline,
            "version": version("spacy-skills"),
            "ads": _states(files),
            "text_field": text_field,
            "markup": how,
        }
        nlp = _pipeline(pipeline, settings)
        found = _read(files, text_field, stdin_format, report)

        def find(done: Collection[str] = ()) -> Iterator[AdRecord]:
            return extract_skills(
                nlp, found, on_error=report, done=done, markup=how, n_process=n_process
            )

        if output is None:
            n = 0
            for record in tqdm(find(), desc="Ads", unit="ad", disable=None):
                typer.echo(srsly.json_dumps(record))
                n += 1
        else:
            resumable = STDIN not in files
            n = _save(find, output, about, overwrite=overwrite, resumable=resumable)
            typer.echo(f"Saved the skills of {n:,} ads to {output}", err=True)
    except KeyboardInterrupt:
        _stop("Interrupted.", INTERRUPTED)
    except (OSError, ValueError, ImportError) as err:
        _stop(str(err), FAILED)
    if skipped:
        code = SKIPPED if n else FAILED
        _stop(f"Skipped {len(skipped):,} ads, see above.", code)


def _files(ads: Iterable[str], output: Path | None) -> list[Path]:
    """All files of ads, each once and without what an earlier run has written, and STDIN.
    Raises ValueError if there is a path without any, before hours of reading others."""
    own = None if output is None else os.path.realpath(output)
    files: dict[str, Path] = {}
    for path in map(Path, ads):
        if os.path.realpath(path) == own:
            raise ValueError(Errors.S911.format(path=path))
        for file in [STDIN] if path == STDIN else find_ad_files(path):
            real = os.path.realpath(file)
            if real != own:
                files.setdefault(real, file)
    if not files:
        raise ValueError(Errors.S913.format(path=output))
    return list(files.values())


def _states(files: Iterable[Path]) -> str:
    """By what a later run sees whether the files are the same; what comes from stdin never is."""
    digest = blake2b(digest_size=16)
    for file in files:
        state = uuid4().hex if file == STDIN else _state(file)
        digest.update(repr((str(file), state)).encode())
    return digest.hexdigest()


def _state(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _pipeline(name: str, settings: dict[str, Any]) -> Language:
    nlp = open_pipeline(name)
    _, ranker = find_component(nlp, name)
    ranker.cfg.update({k: v for k, v in settings.items() if v is not None})
    if settings["threshold"] is not None and settings["precision"] is None:
        ranker.cfg["precision"] = None
    # Raises now, not after an hour of reading, if the precision can't be had.
    _ = ranker.threshold
    return nlp


def _read(
    files: Iterable[Path], text_field: str, stdin_format: StdinFormat, report: OnError
) -> Iterator[Ad]:
    for file in files:
        if file == STDIN:
            lines = Lines(Path(f"stdin.{stdin_format.value}"), sys.stdin.buffer)
        else:
            lines = Lines(file)
        yield from read_lines(lines, text_field=text_field, on_error=report)


def _save(
    find: Callable[[Collection[str]], Iterator[AdRecord]],
    output: Path,
    settings: dict[str, Any],
    *,
    overwrite: bool,
    resumable: bool,
) -> int:
    """Write the output when all ads have been read; until then a journal beside it."""
    writer(output)
    unfinished = output.with_name(f"{output.name}.unfinished")
    # A journal of this run was begun with leave to replace the output.
    if output.exists() and not overwrite and not unfinished.exists():
        raise ValueError(Errors.S910.format(path=output))
    try:
        with Journal(unfinished, settings, overwrite=overwrite) as journal:
            done = journal.done
            with tqdm(
                desc="Ads", unit="ad", initial=len(done), disable=None
            ) as progress:
                for record in find(done):
                    journal.add(record)
                    progress.update()
            write_records(output, journal.records())
    except KeyboardInterrupt:
        if not resumable:
            raise
        _stop("Interrupted. Run the same command again to go on.", INTERRUPTED)
    unfinished.unlink()
    return len(done)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise Exit(code)
