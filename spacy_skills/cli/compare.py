"""``python -m spacy skills compare``: negative sampling strategies on the same data."""

from pathlib import Path

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from typer import Argument, Option
from wasabi import msg

from ..files import write_file
from . import skills_cli


@skills_cli.command(
    "compare",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def compare_cli(
    context: typer.Context,
    config: Path = Argument(..., help="What to compare: see configs/compare.cfg"),
    output: Path = Argument(..., help="Folder for results, tables and figure"),
    quick: bool = Option(False, "--quick", help="Two seeds, one setting each"),
    n_process: int = Option(2, min=1, help="Number of processes"),
):
    """Tune every strategy, train it with several seeds, compare it with the reference.

    Any setting of the config can be overridden: --paths.pipeline training/untrained.
    Run it again after an interruption: it goes on with the runs that are left.
    """
    # They bring the transformers library and matplotlib, which cost seconds to import.
    from ..compare.design import quick as cut_down
    from ..compare.design import read_design
    from ..compare.experiment import run_comparison
    from ..compare.figure import draw
    from ..compare.report import find, learned_settings, make_examples, make_tables

    try:
        design = read_design(config, parse_config_overrides(context.args))
        if quick:
            design = cut_down(design)
        results, runs = run_comparison(design, output, n_process)
        findings = find(design, results, runs)
        tables = make_tables(design, findings)
        write_file(output / "tables.md", tables.encode("utf8"))
        write_file(output / "comparison.png", draw(design, findings))
        settings = srsly.json_dumps(learned_settings(design, runs), indent=2)
        write_file(output / "settings.json", settings.encode("utf8"))
        examples = make_examples(design, results, runs)
        write_file(output / "examples.md", examples.encode("utf8"))
    except (OSError, RuntimeError, ValueError) as err:
        msg.fail(str(err), exits=1)
    except KeyboardInterrupt:
        msg.fail("Interrupted; the same command goes on with what is left", exits=1)
    print(tables)
    msg.good(f"Saved tables, figure, settings and examples to {output}")
