"""``python -m spacy skills report``: a page of what ads ask for, from extracted skills."""

from pathlib import Path

from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..extraction import read_records
from ..files import keep_inputs, write_file
from ..report import render_report
from . import skills_cli


@skills_cli.command("report")
def report_cli(
    skills: Path = Argument(..., help="File of `skills extract`: .jsonl"),
    output: Path = Argument(..., dir_okay=False, help="HTML file for the page"),
    title: str = Option("Skills in job ads", help="Heading of the page"),
    max_ads: int = Option(20, min=0, help="How many ads are shown with their evidence"),
) -> None:
    """Show which skills the ads ask for, how many of them, and where: one HTML page that needs
    no network."""
    try:
        keep_inputs(output, skills)
        records = tqdm(read_records(skills), desc="Ads", unit="ad", disable=None)
        page = render_report(records, title=title, max_ads=max_ads)
        write_file(output, page.encode("utf8"))
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.good(f"Saved to {output}")
