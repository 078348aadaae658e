"""What a comparison found, as tables: means over seeds, paired differences, examples."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from .design import Design, Run
from .experiment import RP5, UNTRAINED
from .results import Results

RESAMPLES = 10_000
MRR = 0


@dataclass(frozen=True)
class Difference:
    """Mean difference to the reference, with the ends of its 95% interval, in points."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass
class Finding:
    """One contender in one set-up.

    scores: by set, means over seeds and sentences of the four metrics, in points.
    spread: the lowest and the highest seed's mean RP@5 of the sets tuned on, in points.
    differences: to the reference, of RP@5, by set and for the mean of the sets tuned on.
    rank_differences: the same of MRR.
    """

    set_up: str
    contender: str
    settings: str
    scores: dict[str, list[float]]
    tuned: float
    spread: tuple[float, float]
    differences: dict[str, Difference]
    rank_differences: dict[str, Difference]


def find(
    design: Design, results: Results, runs: dict[tuple[str, str], list[Run]]
) -> list[Finding]:
    """Paired bootstrap over sentences, each sentence's scores averaged over the seeds."""
    by_seed = {
        place: [results.scores(run) for run in group] for place, group in runs.items()
    }
    averaged = {
        place: {name: numpy.mean([s[name] for s in seeds], axis=0) for name in seeds[0]}
        for place, seeds in by_seed.items()
    }
    sizes = {name: len(v) for name, v in next(iter(averaged.values())).items()}
    draws = {name: _resample(n, i) for i, (name, n) in enumerate(sizes.items())}
    findings = []
    for place, group in runs.items():
        scores = averaged[place]
        seeds = [_tuned_mean(design, s) for s in by_seed[place]]
        reference = averaged[place[0], design.reference]
        findings.append(
            Finding(
                *place,
                settings="" if place[1] == UNTRAINED else group[0].settings,
                scores={n: (100 * v.mean(axis=0)).tolist() for n, v in scores.items()},
                tuned=float(numpy.mean(seeds)),
                spread=(min(seeds), max(seeds)),
                differences=_differences(design, scores, reference, draws, RP5),
                rank_differences=_differences(design, scores, reference, draws, MRR),
            )
        )
    return findings


def tuned_name(design: Design) -> str:
    return "mean of " + ", ".join(design.tune_on)


def _tuned_mean(design: Design, scores: dict[str, numpy.ndarray]) -> float:
    return 100 * float(
        numpy.mean([scores[name][:, RP5].mean() for name in design.tune_on])
    )


def _resample(n: int, seed: int) -> numpy.ndarray:
    """How often each of n sentences is drawn, [RESAMPLES, n]; the same for all systems."""
    rng = numpy.random.default_rng(seed)
    draws = rng.multinomial(n, [1 / n] * n, size=RESAMPLES)
    return draws.astype("float64")


def _differences(
    design: Design,
    scores: dict[str, numpy.ndarray],
    reference: dict[str, numpy.ndarray],
    draws: dict[str, numpy.ndarray],
    metric: int,
) -> dict[str, Difference]:
    """The sets are resampled by themselves; their mean takes a resample of each."""
    resampled = {}
    for name, values in scores.items():
        gains = 100 * (values[:, metric] - reference[name][:, metric])
        resampled[name] = (gains.mean(), draws[name] @ gains / len(gains))
    parts = [resampled[name] for name in design.tune_on]
    resampled[tuned_name(design)] = (
        numpy.mean([mean for mean, _ in parts]),
        numpy.mean([means for _, means in parts], axis=0),
    )
    return {
        name: Difference(float(mean), *numpy.percentile(means, [2.5, 97.5]).tolist())
        for name, (mean, means) in resampled.items()
    }


def make_tables(design: Design, findings: list[Finding]) -> str:
    """Markdown: for each set-up the scores, and the differences to the reference."""
    sets = list(design.sets)
    columns = [*sets, tuned_name(design)]
    parts = []
    for set_up in design.set_ups:
        rows = [f for f in findings if f.set_up == set_up]
        size = design.set_ups[set_up]
        parts += [
            f"## {set_up}",
            f"Seeds {', '.join(map(str, design.seeds))}; settings chosen with seed "
            f"{design.tuning_seed} by the mean RP@5 of {', '.join(design.tune_on)}, from "
            f"rates {size.learn_rates} and {size.negatives_per_positive} negatives a "
            f"positive; epochs: {size.epochs}. Cells: MRR/RP@1/RP@5/RP@10 in points, means "
            "over seeds; in brackets the range over seeds.",
            _table(
                ["", *sets, f"RP@5, {tuned_name(design)}", "settings"],
                (
                    [
                        f.contender,
                        *("/".join(f"{x:.1f}" for x in f.scores[s]) for s in sets),
                        f"{f.tuned:.1f} [{f.spread[0]:.1f}, {f.spread[1]:.1f}]",
                        f.settings,
                    ]
                    for f in rows
                ),
            ),
        ]
        for metric, name in (
            ("differences", "RP@5"),
            ("rank_differences", "MRR"),
        ):
            parts += [
                f"{name} less that of {design.reference}, with 95% intervals of a paired "
                "bootstrap over sentences:",
                _table(
                    ["", *columns],
                    (
                        [f.contender, *(str(getattr(f, metric)[c]) for c in columns)]
                        for f in rows
                        if f.contender != design.reference
                    ),
                ),
            ]
    return "\n\n".join(parts) + "\n"


def make_examples(
    design: Design, results: Results, runs: dict[tuple[str, str], list[Run]]
) -> str:
    """Markdown: the sentences each contender ranks first for some skills, first seed."""
    if design.examples is None:
        return ""
    parts = []
    for skill in design.examples.skills:
        rows = []
        for (set_up, contender), group in runs.items():
            record = results.get(group[0]) or {}
            first = record.get("examples", {}).get(skill)
            if first:
                rows.append([set_up, contender, "<br>".join(first)])
        if rows:
            parts += [f"## {skill}", _table(["set-up", "contender", "first"], rows)]
    return "\n\n".join(parts) + "\n"


def learned_settings(
    design: Design, runs: dict[tuple[str, str], list[Run]]
) -> list[dict[str, Any]]:
    """The chosen settings of each contender, as plain data."""
    return [
        {**asdict(group[0]), "seed": None, "seeds": [run.seed for run in group]}
        for (_, contender), group in runs.items()
        if contender != UNTRAINED
    ]


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in line) + " |"
        for line in lines
    )
