"""``python -m spacy skills benchmark``: a pipeline and baselines on labelled sentences."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy
import srsly
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from tqdm import tqdm
from typer import Argument, Option
from wasabi import msg

from ..baselines import Ranker, make_baselines
from ..benchmark import make_sentence_doc, read_benchmarks
from ..errors import Errors
from ..esco import load_taxonomy
from ..files import keep_inputs, write_file
from ..lines import read_json
from ..scorer import METRICS, sentence_scores
from ..taxonomy import Taxonomy
from . import skills_cli
from .benchmark_report import by_count, print_result, summarise
from .pipelines import open_pipeline

if TYPE_CHECKING:
    from ..ranker import SkillRanker

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
    against: str | None = Option(
        None,
        "--against",
        "-a",
        help="Another pipeline with the same skills, to compare",
    ),
    counts: Path | None = Option(
        None,
        "--counts",
        "-c",
        help="The corpus' labels.json: score sentences of rare and of frequent skills apart",
    ),
    baselines: bool = Option(
        True, help="Rank by an untrained encoder, literal match and BM25 too"
    ),
    encoder: str | None = Option(
        None, help="Folder or hub name of the untrained encoder [all-MiniLM-L6-v2]"
    ),
    bootstrap: int = Option(1000, min=1, help="Resamples for the intervals"),
    use_gpu: int = Option(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU"),
):
    """Rank all skills for each sentence of a benchmark: MRR, RP@1, RP@5 and RP@10 in
    points, with 95% bootstrap intervals over the sentences, and the pipeline's gains over the
    other rankers, paired by sentence.

    PIPELINE may be a packed ranker, such as the one that comes with the package:
    esco-1.1.1-en.
    """
    setup_gpu(use_gpu)
    try:
        if output is not None:
            keep_inputs(output, *filter(None, (benchmark, counts, taxonomy)))
        results = run_benchmark(
            pipeline,
            benchmark,
            taxonomy,
            against=against,
            counts=None if counts is None else read_counts(counts),
            baselines=baselines,
            encoder=encoder,
            resamples=bootstrap,
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
    against: str | None = None,
    counts: Mapping[str, int] | None = None,
    baselines: bool = True,
    encoder: str | None = None,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Score a pipeline on the sets of a benchmark, and print tables for each.

    against: another pipeline that is scored too. counts: distant sentences of each skill, by
        URI, to score sentences by the count of their rarest skill. encoder: see
        make_baselines.
    RETURNS: for each set by name, the number of sentences scored, what was left out, and for
        each ranker the means and the ends of their 95% intervals, as fractions; the same for
        the pipeline's paired gains over the others, and with counts for each range of them.
    Raises ValueError or OSError if pipeline, taxonomy or benchmark can't be read or have no
    labels in common.
    """
    nlp = open_pipeline(pipeline)
    name, component = find_component(nlp, pipeline)
    skills = component.taxonomy
    labels = skills if taxonomy is None else load_taxonomy(taxonomy)
    sets = read_benchmarks(path, labels)
    if not any(uri in skills for b in sets for _, uris in b.sentences for uri in uris):
        unknown = sorted({label for b in sets for label in b.report.unknown})
        examples = ", ".join(unknown[:5]) or "none"
        raise ValueError(Errors.S409.format(path=path, labels=examples))
    rankers: dict[str, Ranker] = {name: PipelineRanker(component)}
    if against is not None:
        rankers[f"{against} (other)"] = AnotherPipeline(against, skills)
    if baselines:
        msg.text(f"Encoding the names of {len(skills)} skills")
        made, left_out = make_baselines(nlp, component, encoder)
        rankers.update(made)
        for reason in left_out:
            msg.info(f"Left out {reason}")
    results = {}
    for benchmark in sets:
        gold = [
            (text, {skills.index(uri) for uri in uris if uri in skills})
            for text, uris in benchmark.sentences
        ]
        gold = [(text, rows) for text, rows in gold if rows]
        scores = score_rankers(nlp, name, gold, rankers, desc=benchmark.name)
        result = summarise(benchmark, len(gold), scores, resamples)
        if counts is not None:
            rarest = [
                min(counts.get(skills.uris[r], 0) for r in rows) for _, rows in gold
            ]
            result["by_count"] = by_count(numpy.array(rarest), scores, resamples)
        results[benchmark.name] = result
        print_result(benchmark.name, result)
    return results


def read_counts(path: Path) -> dict[str, int]:
    """The corpus' labels.json. Raises OSError or ValueError."""
    counts = read_json(path)
    if not isinstance(counts, dict) or not all(
        isinstance(n, int) for n in counts.values()
    ):
        raise ValueError(Errors.S410.format(path=path))
    return counts


class PipelineRanker:
    """The component itself, on docs that have been through the pipes before it."""

    def __init__(self, component: "SkillRanker"):
        self.component = component

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        for doc, ranked in zip_longest(docs, self.component.rank(docs)):
            if doc is None or ranked is None or len(ranked[0]) != len(doc):
                text = (ranked[0].doc if doc is None else doc).text
                raise ValueError(Errors.S407.format(sentence=text[:200]))
            yield ranked[1]


class AnotherPipeline:
    """A pipeline on the texts of another one's docs. Raises ValueError if it has other
    skills."""

    def __init__(self, pipeline: str, taxonomy: Taxonomy):
        self.nlp = open_pipeline(pipeline)
        name, component = find_component(self.nlp, pipeline)
        if component.taxonomy.uris != taxonomy.uris:
            raise ValueError(Errors.S411.format(pipeline=pipeline))
        self.later = self.nlp.pipe_names[self.nlp.pipe_names.index(name) :]
        self.rank = PipelineRanker(component)

    def __call__(self, docs: Sequence[Doc]) -> Iterator[numpy.ndarray]:
        own = (make_sentence_doc(self.nlp, doc.text) for doc in docs)
        yield from self.rank(list(self.nlp.pipe(own, disable=self.later)))


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
