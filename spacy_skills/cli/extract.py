"""``python -m spacy skills extract``: the skills of ads, as JSON lines or a table."""

import sys
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import srsly
import typer
from spacy.language import Language
from tqdm import tqdm
from typer import Argument, Exit, Option

from ..ads import Ad, Lines, OnError, read_ads, read_lines
from ..errors import Errors
from ..extraction import AdRecord, Journal, extract_skills
from ..factory import DEFAULT_PRETRAINED
from ..markup import Markup
from ..tables import write_records, writer
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline

STDIN = "-"
# Exit codes; typer's for a wrong call is 2.
FAILED, SKIPPED, INTERRUPTED = 1, 3, 130


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
        help="Choose the threshold so that this share of the skills is right",
    ),
    top_k: int | None = Option(None, min=1, help="The most skills of a sentence"),
    group_level: int | None = Option(
        None, min=0, help="Down to which level groups are named"
    ),
    n_process: int = Option(1, "--n-process", "-n", min=1, help="Processes"),
    overwrite: bool = Option(
        False,
        "--overwrite",
        help="Replace the output, and begin an unfinished run anew",
    ),
) -> None:
    """Find the ESCO skills of job ads.

    An ad that can't be read is reported and skipped. Run it again after an interruption:
    it goes on after the last ad. Exit code: 0 if all ads were read, 3 if some were
    skipped, 1 if none was read, 130 if interrupted.
    """
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
    about = {
        **settings,
        "pipeline": pipeline,
        "version": version("spacy-skills"),
        "ads": ads,
        "text_field": text_field,
        "markup": how,
    }
    try:
        nlp = _pipeline(pipeline, settings)
        found = _read(ads, text_field, stdin_format, report)

        def find(todo: Iterable[Ad]) -> Iterator[AdRecord]:
            return extract_skills(
                nlp, todo, on_error=report, markup=how, n_process=n_process
            )

        if output is None:
            n = 0
            for record in tqdm(find(found), desc="Ads", unit="ad", disable=None):
                typer.echo(srsly.json_dumps(record))
                n += 1
        else:
            n = _save(found, find, output, about, overwrite)
            typer.echo(f"Saved the skills of {n:,} ads to {output}", err=True)
    except KeyboardInterrupt:
        _stop("Interrupted. Run the same command again to go on.", INTERRUPTED)
    except (OSError, ValueError, ImportError) as err:
        _stop(str(err), FAILED)
    if skipped:
        code = SKIPPED if n else FAILED
        _stop(f"Skipped {len(skipped):,} ads, see above.", code)


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
    ads: Iterable[str], text_field: str, stdin_format: StdinFormat, report: OnError
) -> Iterator[Ad]:
    for path in ads:
        if path == STDIN:
            lines = Lines(Path(f"stdin.{stdin_format.value}"), sys.stdin.buffer)
            yield from read_lines(lines, text_field=text_field, on_error=report)
        else:
            yield from read_ads(path, text_field=text_field, on_error=report)


def _save(
    ads: Iterable[Ad],
    find: Callable[[Iterable[Ad]], Iterator[AdRecord]],
    output: Path,
    settings: dict[str, Any],
    overwrite: bool,
) -> int:
    """Write the output when all ads have been read; until then a journal beside it."""
    writer(output)
    unfinished = output.with_name(f"{output.name}.unfinished")
    if overwrite:
        unfinished.unlink(missing_ok=True)
    elif output.exists():
        raise ValueError(Errors.S910.format(path=output))
    with Journal(unfinished, settings) as journal:
        done = journal.done
        todo = (ad for ad in ads if ad.source not in done)
        with tqdm(desc="Ads", unit="ad", initial=len(done), disable=None) as progress:
            for record in find(todo):
                journal.add(record)
                progress.update()
        write_records(output, journal.records())
    unfinished.unlink()
    return len(done)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise Exit(code)
