"""``python -m spacy skills abstention``: skills where sentences ask for none."""

from pathlib import Path

import srsly
from typer import Argument, Option
from wasabi import msg

from ..files import keep_inputs, write_file
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline


@skills_cli.command("abstention")
def abstention_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    marked: Path = Argument(
        ...,
        help="Marked sentences: SkillSpan's JSONL, plain or gzipped; those with the same ad make "
        "one",
    ),
    threshold: list[float] = Option(
        [], "--threshold", min=0.0, max=1.0, help="Thresholds, beside the pipeline's"
    ),
    output: Path | None = Option(
        None, "--output", "-o", dir_okay=False, help="JSON file for the results"
    ),
) -> None:
    """Find the skills of sentences in which people have marked what asks for a skill, and of
    such without a mark, and print where the pipeline speaks and where it keeps silent."""
    # Brings the transformers library, which costs seconds to import.
    from ..abstention import measure_abstention
    from ..span_training import read_marked

    results = {}
    try:
        if output is not None:
            keep_inputs(output, marked)
        nlp = open_pipeline(pipeline)
        _, ranker = find_component(nlp, pipeline)
        sentences = read_marked(marked, repeated=True)
        for value in dict.fromkeys([ranker.threshold, *threshold]):
            ranker.cfg.update({"threshold": value, "precision": None})
            found = measure_abstention(nlp, sentences, ranker.cfg["spans_key"])
            # Two decimals, unless there are more.
            key = f"{value:.2f}" if value == round(value, 2) else str(value)
            results[key] = found.to_dict()
        if output is not None:
            write_file(output, srsly.json_dumps(results, indent=2).encode())
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    msg.info(f"{found.asking:,} sentences with a mark, {found.silent:,} without")
    keys = ("precision", "recall", "f1", "false_skills", "found", "justified")
    rows = [
        (
            at,
            *(
                f"{row[key] * (1 if key == 'false_skills' else 100):.1f}"
                for key in keys
            ),
        )
        for at, row in results.items()
    ]
    header = (
        "Threshold",
        "P",
        "R",
        "F1",
        "False/100",
        "Marks found",
        "Evidence in one",
    )
    msg.table(rows, header=header, divider=True, aligns=["r"] * len(header))
    if output is not None:
        msg.good(f"Saved results to {output}")
