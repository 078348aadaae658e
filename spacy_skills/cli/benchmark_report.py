"""What ``skills benchmark`` saves and prints of the scores."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy
from wasabi import msg

from ..benchmark import Benchmark
from ..scorer import METRICS, bootstrap_intervals

HEADER = ("", "MRR", "RP@1", "RP@5", "RP@10")
# Distant sentences of a skill at which a range begins.
COUNT_RANGES = (0, 1, 20, 1000)


def summarise(
    benchmark: Benchmark,
    n_scored: int,
    scores: dict[str, numpy.ndarray],
    resamples: int,
) -> dict[str, Any]:
    """One set's result: see run_benchmark. scores: [sentences, 4] of each ranker, the
    pipeline's first."""
    left_out = asdict(benchmark.report)
    left_out["unscored"] += len(benchmark.sentences) - n_scored
    result: dict[str, Any] = {"scored": n_scored, "left_out": left_out}
    first, *others = scores
    gains = {f"gain over {o}": scores[first] - scores[o] for o in others}
    result["rankers"] = _means(scores, resamples)
    result["gains"] = _means(gains, resamples)
    return result


def by_count(
    rarest: numpy.ndarray, scores: dict[str, numpy.ndarray], resamples: int
) -> dict[str, Any]:
    """The same for each range of counts. rarest: [sentences], of each one's rarest skill."""
    found = {}
    for low, high in zip(COUNT_RANGES, [*COUNT_RANGES[1:], None]):
        chosen = (rarest >= low) & (high is None or rarest < high)
        range_ = f"{low} or more" if high is None else f"{low} to {high - 1}"
        range_ = range_ if low else "none"
        means = _means({r: v[chosen] for r, v in scores.items()}, resamples)
        found[range_] = {"scored": int(chosen.sum()), "rankers": means}
    return found


def _means(
    values: Mapping[str, numpy.ndarray], resamples: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Each one's mean of every metric, with the ends of its interval; none without values."""
    means = {}
    for name, rows in values.items():
        if len(rows):
            low, high = bootstrap_intervals(rows, resamples).tolist()
            columns = zip(METRICS, rows.mean(axis=0).tolist(), low, high)
            means[name] = {
                metric: {"mean": mean, "low": lo, "high": hi}
                for metric, mean, lo, hi in columns
            }
    return means


def print_result(name: str, result: dict[str, Any]) -> None:
    """One set's part of what run_benchmark returns, as tables."""
    left_out = result["left_out"]
    msg.divider(name)
    _print_table(result["rankers"])
    if result["gains"]:
        _print_table(result["gains"])
    for range_, part in result.get("by_count", {}).items():
        if not part["scored"]:
            continue
        msg.text(
            f"Distant sentences of the rarest gold skill: {range_} ({part['scored']} scored)"
        )
        _print_table(part["rankers"])
    msg.text(f"{result['scored']} sentences scored, {left_out['unscored']} left out")
    markers = [
        f"{count} {marker or 'empty'}"
        for marker, count in left_out["without_label"].items()
    ]
    msg.text(
        f"{left_out['labels']} labels read; no skill: {', '.join(markers) or 'none'}"
    )
    unknown = sorted(left_out["unknown"])
    if unknown:
        more = ", …" if len(unknown) > 10 else ""
        labels = ", ".join(unknown[:10]) + more
        msg.warn(f"{len(unknown)} labels are not in the taxonomy: {labels}")


def _print_table(means: dict[str, dict[str, dict[str, float]]]) -> None:
    rows = [
        (name, *(_format_score(scores[metric]) for metric in METRICS))
        for name, scores in means.items()
    ]
    if rows:
        msg.table(rows, header=HEADER, divider=True, aligns=("l", *"rrrr"))
    else:
        msg.warn("No sentence has a label that is a skill of the taxonomy")


def _format_score(score: dict[str, float]) -> str:
    mean, low, high = (100 * score[key] for key in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
