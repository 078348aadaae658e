"""``python -m spacy skills …``: registered through spaCy's ``spacy_cli`` entry point."""

import typer
from spacy.cli._util import app

skills_cli = typer.Typer(
    name="skills", help="Read ESCO skills out of job ads", no_args_is_help=True
)
app.add_typer(skills_cli)

# Importing a command registers it, as in spacy/cli/__init__.py.
from . import (
    abstention,  # noqa: F401
    benchmark,  # noqa: F401
    calibrate,  # noqa: F401
    compare,  # noqa: F401
    convert,  # noqa: F401
    corpus,  # noqa: F401
    encoder,  # noqa: F401
    explain,  # noqa: F401
    extract,  # noqa: F401
    growth,  # noqa: F401
    names,  # noqa: F401
    negatives,  # noqa: F401
    pack,  # noqa: F401
    report,  # noqa: F401
    spans,  # noqa: F401
    speed,  # noqa: F401
    taxonomy,  # noqa: F401
    tune,  # noqa: F401
)
