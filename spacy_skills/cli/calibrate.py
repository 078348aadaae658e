"""``python -m spacy skills calibrate``: fits a pipeline's probabilities to judged sentences."""

from pathlib import Path
from typing import Any

import srsly
from typer import Argument, Option
from wasabi import msg

from ..ads import read_ads
from ..files import write_file
from ..judged import read_judged
from . import skills_cli
from .benchmark import find_component
from .pipelines import open_pipeline


@skills_cli.command("calibrate")
def calibrate_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    judged: Path = Argument(..., help="Sentences and their judged skills: .jsonl(.gz)"),
    output: Path = Option(..., "--output", "-o", help="Folder for the pipeline"),
    marked: list[Path] = Option(
        [],
        "--marked",
        "-m",
        help="Whole ads with what asks for a skill marked: .jsonl(.gz), as for `skills spans`, "
        "with a field ad",
    ),
    ads: Path | None = Option(
        None, help="File or folder of ads, for sentences that name a digest"
    ),
    text_field: str = Option("text", help="Field or column that holds the ads' text"),
    decay: float = Option(3e-4, min=0.0, help="Weight of the squared weights"),
    seed: int = Option(0, help="Which sentences are held out together"),
    results: Path | None = Option(
        None, "--results", dir_okay=False, help="JSON file for the figures"
    ),
    plot: Path | None = Option(
        None, "--plot", dir_okay=False, help="Image file for the reliability diagram"
    ),
) -> None:
    """Learn from judged sentences how probable it is that a skill is right, and from which
    probability on which share of the skills is.

    The figures are of sentences that were left out of the fit, five folds of them.
    """
    # Brings torch, which takes a second to import.
    from ..calibration_fit import fit_calibration, judgements
    from ..calibration_report import draw, summarise
    from ..span_training import read_marked

    try:
        nlp = open_pipeline(pipeline)
        _, ranker = find_component(nlp, pipeline)
        corpus = () if ads is None else read_ads(ads, text_field=text_field)
        spans, missing = read_judged(judged, (ad.text for ad in corpus))
        if missing:
            msg.warn(f"Left out: {len(missing):,} texts that are not among the ads")
        lines = [m for path in marked for m in read_marked(path, repeated=True)]
        found = judgements(nlp, ranker, spans, lines)
        ranker.calibration, held_out = fit_calibration(found, decay=decay, seed=seed)
        nlp.to_disk(output)
        figures = summarise(held_out, found)
        if results is not None:
            write_file(results, srsly.json_dumps(figures, indent=2).encode())
        if plot is not None:
            draw(figures, plot)
    except (OSError, ValueError, ImportError) as err:
        msg.fail(str(err), exits=1)
    print_figures(figures)
    msg.good(f"Saved the pipeline to {output}")


def print_figures(figures: dict[str, Any]) -> None:
    for kind, what in (("asks", "sentences"), ("right", "skills of them")):
        part = figures[kind]
        msg.text(
            f"{part['n']:,} {what}, {part['true']:,} of them true; expected "
            f"calibration error {part['error']:.3f}"
        )
    rows = [
        tuple(
            "-" if row[k] is None else f"{row[k]:.2f}"
            for k in ("threshold", "precision", "recall", "false_skills")
        )
        for row in figures["thresholds"]
    ]
    header = ("Threshold", "Precision", "Recall", "False/100")
    msg.table(rows, header=header, divider=True, aligns=["r"] * len(header))
