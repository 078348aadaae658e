"""What a calibration is worth, on the sentences that each fold of its fit left out."""

from pathlib import Path
from typing import Any

import numpy

from .calibration_fit import (
    CrossFitted,
    Judgements,
    expected_calibration_error,
    precision_curve,
    reliability,
)
from .files import replacing

PRECISIONS = (0.6, 0.7, 0.8, 0.9)
TITLES = {"asks": "The sentence asks for a skill", "right": "The skill is right"}


def summarise(held_out: CrossFitted, found: Judgements) -> dict[str, Any]:
    """Counts, calibration errors and the diagram's bins of both probabilities; for 0.5 and
    the thresholds that stand for some precisions, precision, recall among the judged skills, and
    skills per 100 judged sentences that ask for none (None without any)."""
    kinds = {
        "asks": (held_out.asks, found.asks),
        "right": (held_out.right, found.is_right),
    }
    figures: dict[str, Any] = {}
    for kind, (values, labels) in kinds.items():
        figures[kind] = {
            "n": len(labels),
            "true": int(labels.sum()),
            "error": expected_calibration_error(values, labels),
            "bins": [b._asdict() for b in reliability(values, labels)],
        }
    curve = precision_curve(held_out.right, found.is_right)
    chosen = (
        next((p.threshold for p in curve if p.precision >= wanted), None)
        for wanted in PRECISIONS
    )
    thresholds = sorted({0.5, *(value for value in chosen if value is not None)})
    figures["thresholds"] = [_at(value, held_out, found) for value in thresholds]
    return figures


def _at(
    threshold: float, held_out: CrossFitted, found: Judgements
) -> dict[str, float | None]:
    given = held_out.right >= threshold
    right = given & found.is_right
    # The marked sentences have no candidates.
    silent = ~found.asks & (
        numpy.bincount(found.sentence, minlength=len(found.asks)) > 0
    )
    n_silent = numpy.count_nonzero(silent)
    false_skills = given[silent[found.sentence]].sum()
    return {
        "threshold": threshold,
        "precision": float(right.sum() / max(1, given.sum())),
        "recall": float(right.sum() / found.is_right.sum()),
        "false_skills": float(100 * false_skills / n_silent) if n_silent else None,
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    """The reliability diagram. Raises ImportError without matplotlib, of the extra
    ``compare``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (kind, title) in zip(panels, TITLES.items()):
        bins, error = figures[kind]["bins"], figures[kind]["error"]
        panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        panel.plot([b["predicted"] for b in bins], [b["true"] for b in bins], "o-")
        panel.set_title(f"{title}\n{figures[kind]['n']:,} judged, error {error:.3f}")
        panel.set_xlabel("predicted")
    panels[0].set_ylabel("true")
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix[1:] or "png", dpi=110)
