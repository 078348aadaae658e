"""A comparison's differences to its reference, drawn."""

import io

from matplotlib.figure import Figure

from .design import Design
from .report import Finding, tuned_name

# Told apart without colours too.
MARKERS = "osD^vP*X"


def draw(design: Design, findings: list[Finding]) -> bytes:
    """A PNG: a panel a set-up, a row a contender, a marker a yardstick, RP@5."""
    others = [name for name in design.sets if name not in design.tune_on]
    columns = [tuned_name(design), *others]
    groups = [
        [f for f in findings if f.set_up == s and f.contender != design.reference]
        for s in design.set_ups
    ]
    height = 1.2 + 0.16 * sum(map(len, groups)) * (len(columns) + 1)
    figure = Figure(figsize=(8, height), layout="constrained")
    panels = figure.subplots(
        len(groups), 1, squeeze=False, height_ratios=[max(len(g), 1) for g in groups]
    )
    for panel, set_up, group in zip(panels[:, 0], design.set_ups, groups):
        step = 1 / (len(columns) + 1)
        for j, column in enumerate(columns):
            found = [f.differences[column] for f in group]
            places = [
                -i - (j - (len(columns) - 1) / 2) * step for i in range(len(group))
            ]
            low = [d.mean - d.low for d in found]
            high = [d.high - d.mean for d in found]
            panel.errorbar(
                [d.mean for d in found],
                places,
                xerr=[low, high],
                fmt=MARKERS[j % len(MARKERS)],
                markersize=4,
                linewidth=1,
                label=column,
            )
        panel.axvline(0, color="grey", linewidth=0.8)
        panel.set_yticks([-i for i in range(len(group))], [f.contender for f in group])
        panel.set_title(set_up, loc="left")
        panel.grid(axis="x", linewidth=0.3)
    panels[-1, 0].set_xlabel(f"RP@5 less that of {design.reference}, in points")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=len(columns),
        fontsize=8,
    )
    buffer = io.BytesIO()
    # The version of the library would make each file differ.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
