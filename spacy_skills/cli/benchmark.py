"""``python -m spacy skills benchmark``: a pipeline and baselines on labelled sentences."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy
import srsly
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model, minibatch
from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..baselines import LiteralMatch, NameBM25, NameCosine
from ..benchmark import Benchmark, make_sentence_doc, read_benchmarks
from ..errors import Errors
from ..esco import load_taxonomy
from ..files import write_file
from ..scorer import METRICS, bootstrap_intervals, sentence_scores
from . import skills_cli

if TYPE_CHECKING:
    from ..ranker import SkillRanker

# A batch of docs, one sentence each, to the scores of each over all skills.
Ranker = Callable[[Sequence[Doc]], Iterator[numpy.ndarray]]

HEADER = ("", "MRR", "RP@1", "RP@5", "RP@10")
DOCS_PER_BATCH = 64


@skills_cli.command("benchmark")
def benchmark_cli(
    pipeline: str = Argument(..., help="Pipeline with the component esco_skills"),
    benchmark: Path = Argument(
        ...,
        help="Labelled sentences: a CSV file (columns sentence and label, or sentence "
        "and skills), a folder of them, or a .spacy file of `skills convert`",
    ),
    taxonomy: Path | None = Option(
        None, "--taxonomy", "-t", help="Find the labels here, not in the pipeline"
    ),
    output: Path | None = Option(
        None, "--output", "-o", dir_okay=False, help="JSON file for the results"
    ),
    baselines: bool = Option(True, help="Rank by names, literal match and BM25 too"),
    bootstrap: int = Option(1000, min=1, help="Resamples for the intervals"),
    use_gpu: int = Option(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
):
    """Rank all skills for each sentence of a benchmark: MRR, RP@1, RP@5 and RP@10 in
    points, with 95% bootstrap intervals over the sentences."""
    setup_gpu(use_gpu)
    try:
        results = run_benchmark(
            pipeline, benchmark, taxonomy, baselines=baselines, resamples=bootstrap
        )
        if output is not None:
            write_file(output, srsly.json_dumps(results, indent=2).encode())
            msg.good(f"Saved results to {output}")
    except (OSError, ValueError) as err:
        msg.fail(str(err), exits=1)


def run_benchmark(
    pipeline: str,
    path: Path,
    taxonomy: Path | None = None,
    *,
    baselines: bool = True,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Score a pipeline on the sets of a benchmark, and print a table for each.

    RETURNS: for each set by name, the number of sentences scored, what was left out, and
        for each ranker the means and the ends of their 95% intervals, as fractions.
    Raises ValueError or OSError if pipeline, taxonomy or benchmark can't be read or have no
    labels in common.
    """
    nlp = load_model(pipeline)
    name, component = find_component(nlp, pipeline)
    skills = component.taxonomy
    labels = skills if taxonomy is None else load_taxonomy(taxonomy)
    sets = read_benchmarks(path, labels)
    if not any(uri in skills for b in sets for _, uris in b.sentences for uri in uris):
        unknown = sorted({label for b in sets for label in b.report.unknown})
        examples = ", ".join(unknown[:5]) or "none"
        raise ValueError(Errors.S409.format(path=path, labels=examples))
    rankers: dict[str, Ranker] = {name: PipelineRanker(component)}
    if baselines:
        rankers.update(_make_baselines(nlp, component))
    results = {}
    for benchmark in sets:
        gold = [
            (text, {skills.index(uri) for uri in uris if uri in skills})
            for text, uris in benchmark.sentences
        ]
        gold = [(text, rows) for text, rows in gold if rows]
        scores = score_rankers(nlp, name, gold, rankers, desc=benchmark.name)
        results[benchmark.name] = _summarise(benchmark, len(gold), scores, resamples)
        _print_table(benchmark, results[benchmark.name])
    return results


class PipelineRanker:
    """The component itself, on docs that have been through the pipes before it."""

    def __init__(self, component: "SkillRanker"):
        self.component = component

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        for doc, ranked in zip_longest(docs, self.component.rank(docs)):
            if doc is None or ranked is None or len(ranked[0]) != len(doc):
                text = (ranked[0].doc if doc is None else doc).text
                raise ValueError(Errors.S407.format(sentence=text))
            yield ranked[1]


def score_rankers(
    nlp: Language,
    name: str,
    gold: Sequence[tuple[str, set[int]]],
    rankers: dict[str, Ranker],
    *,
    desc: str | None = None,
) -> dict[str, numpy.ndarray]:
    """Each ranker's scores of each sentence, [sentences, 4]: see SentenceScores.

    name: the component to run the pipes up to. gold: sentences and rows of their skills.
    """
    later = nlp.pipe_names[nlp.pipe_names.index(name) :]
    texts = (make_sentence_doc(nlp, text) for text, _ in gold)
    docs = nlp.pipe(texts, disable=later)
    values: dict[str, list] = {ranker: [] for ranker in rankers}
    with tqdm(total=len(gold), desc=desc, disable=None, leave=False) as progress:
        for pairs in minibatch(zip(docs, gold), DOCS_PER_BATCH):
            batch = [doc for doc, _ in pairs]
            for ranker, rank in rankers.items():
                for (_, (_, rows)), scores in zip(pairs, rank(batch), strict=True):
                    values[ranker].append(sentence_scores(rows, scores))
            progress.update(len(batch))
    return {
        ranker: numpy.reshape(rows, (-1, len(METRICS)))
        for ranker, rows in values.items()
    }


def find_component(nlp: Language, pipeline: str) -> tuple[str, "SkillRanker"]:
    for name, component in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "esco_skills":
            return name, cast("SkillRanker", component)
    pipes = ", ".join(nlp.pipe_names) or "none"
    raise ValueError(Errors.S408.format(pipeline=pipeline, pipes=pipes))


def _make_baselines(nlp: Language, component: "SkillRanker") -> dict[str, Ranker]:
    # Brings the transformers library, which costs seconds to import.
    from ..encoder import encode_texts

    taxonomy, model = component.taxonomy, component.model

    def encode(texts: Sequence[str]) -> numpy.ndarray:
        return model.ops.to_numpy(encode_texts(model.layers[0], texts, nlp))

    msg.text(f"Encoding the names of {len(taxonomy)} skills")
    rankers: dict[str, Ranker] = {"cosine to names": NameCosine(taxonomy, encode)}
    factories = {nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names}
    if "esco_matcher" in factories:
        rankers["literal match"] = LiteralMatch(taxonomy)
    else:
        msg.info("Left out literal match: the pipeline has no component esco_matcher")
    if importlib.util.find_spec("bm25s") is not None:
        rankers["BM25 on names"] = NameBM25(taxonomy, nlp)
    else:
        msg.info("Left out BM25: it needs pip install 'spacy-skills[benchmark]'")
    return rankers


def _summarise(
    benchmark: Benchmark,
    n_scored: int,
    scores: dict[str, numpy.ndarray],
    resamples: int,
) -> dict[str, Any]:
    left_out = asdict(benchmark.report)
    left_out["unscored"] += len(benchmark.sentences) - n_scored
    rankers: dict[str, dict] = {}
    for ranker, values in scores.items():
        if n_scored:
            low, high = bootstrap_intervals(values, resamples).tolist()
            columns = zip(METRICS, values.mean(axis=0).tolist(), low, high)
            rankers[ranker] = {
                metric: {"mean": mean, "low": lo, "high": hi}
                for metric, mean, lo, hi in columns
            }
    return {"scored": n_scored, "left_out": left_out, "rankers": rankers}


def _print_table(benchmark: Benchmark, result: dict[str, Any]) -> None:
    rows = [
        (ranker, *(_format_score(scores[metric]) for metric in METRICS))
        for ranker, scores in result["rankers"].items()
    ]
    left_out = result["left_out"]
    msg.divider(benchmark.name)
    if rows:
        msg.table(rows, header=HEADER, divider=True, aligns=("l", *"rrrr"))
    else:
        msg.warn("No sentence has a label that is a skill of the taxonomy")
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


def _format_score(score: dict[str, float]) -> str:
    mean, low, high = (100 * score[key] for key in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
