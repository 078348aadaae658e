"""Runs a comparison: tunes every contender, then trains each with several seeds."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy
from spacy.training import Example
from spacy.util import load_model
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ..benchmark import BenchmarkCorpus, make_sentence_doc
from ..encoder import attach_cache
from ..errors import Errors
from ..ranker import SkillRanker
from ..sentences import read_sentences
from .data import EncodedSentences, encode_examples
from .design import Design, Run, make_pairs, tuning_runs
from .results import Results
from .training import Skills, evaluate, first_sentences, start_model, train

UNTRAINED = "untrained"
RP5 = 2


@dataclass
class Data:
    """Everything the runs share, encoded."""

    skills: Skills
    names: dict[str, str]
    corpora: dict[str, EncodedSentences]
    sets: dict[str, EncodedSentences]
    examples: EncodedSentences | None


def load_data(design: Design) -> Data:
    """Read and encode corpora, sets and examples with the design's pipeline.

    Raises ValueError or OSError if one of them can't be read.
    """
    path = cast(str, design.paths["pipeline"])
    nlp = load_model(path)
    rankers = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, SkillRanker)]
    if not rankers:
        pipes = ", ".join(nlp.pipe_names) or "none"
        raise ValueError(Errors.S408.format(pipeline=path, pipes=pipes))
    ranker = rankers[0]
    if design.paths.get("cache"):
        cache = Path(cast(str, design.paths["cache"]))
        attach_cache(ranker.model.layers[0], cache)
    taxonomy = cast(str, design.paths["taxonomy"])
    used = {contender.corpus for contender in design.contenders.values()}
    corpora = {
        name: encode_examples(nlp, ranker, read(nlp), name)
        for name, read in design.corpora.items()
        if name in used
    }
    sets = {
        name: encode_examples(nlp, ranker, BenchmarkCorpus(path, taxonomy)(nlp), name)
        for name, path in design.sets.items()
    }
    examples = None
    if design.examples is not None:
        ads = design.examples
        texts = read_sentences(ads.ads, text_field=ads.text_field)
        made = [
            Example(make_sentence_doc(nlp, text), nlp.make_doc(text))
            for text in dict.fromkeys(texts)
        ]
        examples = encode_examples(nlp, ranker, made, "examples")
    skills = ranker.taxonomy.skills
    names = {skill.name: skill.uri for skill in reversed(skills)}
    return Data(Skills.of(ranker), names, corpora, sets, examples)


def digests(design: Design, data: Data) -> dict[tuple[str, str], str]:
    """What tells the runs of one (set-up, contender) from those of other data."""
    shared = blake2b(data.skills.names.tobytes() + data.skills.prior.tobytes())
    for sentences in data.sets.values():
        _add(shared, sentences)
    corpora = {}
    for name, sentences in data.corpora.items():
        corpora[name] = shared.copy()
        _add(corpora[name], sentences)
    found = {}
    for set_up_name, set_up in design.set_ups.items():
        for name, contender in design.contenders.items():
            digest = corpora[contender.corpus].copy()
            size = (set_up.names, set_up.epochs, set_up.skills_per_batch)
            block = design.blocks.get(name, "")
            digest.update(repr((size, design.positives_per_skill, block)).encode())
            found[set_up_name, name] = digest.hexdigest()[:16]
        found[set_up_name, UNTRAINED] = shared.hexdigest()[:16]
    return found


def _add(digest: Any, sentences: EncodedSentences) -> None:
    digest.update(numpy.ascontiguousarray(sentences.vectors).tobytes())
    gold = [sorted(skills) for skills in sentences.pool.skills]
    digest.update(repr((gold, sentences.ends.tolist(), sentences.literal)).encode())


@dataclass
class Runner:
    """Does one run. full: score all sets and rank the examples, not the tuning sets only."""

    design: Design
    data: Data

    def __call__(
        self, run: Run, full: bool
    ) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
        design, data = self.design, self.data
        set_up = design.set_ups[run.set_up]
        start = perf_counter()
        trained = run.contender != UNTRAINED
        corpus = design.contenders[run.contender].corpus if trained else None
        sentences = data.corpora[corpus or next(iter(data.corpora))]
        model = start_model(data.skills, sentences.pool, set_up.names)
        if trained:
            train(
                model,
                data.skills,
                sentences if set_up.names else sentences.without_pieces(),
                make_pairs(design, run),
                learn_rate=run.learn_rate,
                epochs=set_up.epochs,
                loss=design.contenders[run.contender].loss,
            )
        sets = data.sets if full else {name: data.sets[name] for name in design.tune_on}
        scores = {
            name: evaluate(
                model,
                data.skills,
                labelled if set_up.names else labelled.without_pieces(),
            )
            for name, labelled in sets.items()
        }
        more: dict[str, Any] = {"seconds": round(perf_counter() - start, 1)}
        if full and design.examples is not None and data.examples is not None:
            known = [name for name in design.examples.skills if name in data.names]
            first = first_sentences(
                model,
                data.skills,
                data.examples if set_up.names else data.examples.without_pieces(),
                [data.names[name] for name in known],
                design.examples.n,
            )
            more["examples"] = {name: first[data.names[name]] for name in known}
        return scores, more


def run_all(
    runner: Runner, results: Results, runs: Iterable[Run], full: bool, n_process: int
) -> None:
    """Do the runs that have no result yet, and save each as it ends."""
    left = [run for run in runs if results.get(run) is None]
    if not left:
        return
    desc = "Runs" if full else "Tuning"
    with tqdm(total=len(left), desc=desc, unit="run") as progress:
        for run, (scores, more) in _results(runner, left, full, n_process):
            results.add(run, scores, **more)
            progress.update()


def _results(
    runner: Runner, runs: list[Run], full: bool, n_process: int
) -> Iterator[tuple[Run, tuple[dict[str, numpy.ndarray], dict[str, Any]]]]:
    if n_process <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        # One thread here too: how a product is cut decides its last bits.
        with threadpool_limits(1):
            yield from ((run, runner(run, full)) for run in runs)
        return
    # The tokenizers are done; without this they warn of every fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Forked, so that the corpora are in memory once.
    executor = ProcessPoolExecutor(
        n_process,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_start_process,
        initargs=(runner,),
    )
    try:
        futures = {executor.submit(_run_in_process, run, full): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise RuntimeError(Errors.S605) from None
    finally:
        executor.shutdown(cancel_futures=True)


_process_runner: Runner | None = None


def _start_process(runner: Runner) -> None:
    global _process_runner
    _process_runner = runner
    threadpool_limits(1)


def _run_in_process(
    run: Run, full: bool
) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
    return cast(Runner, _process_runner)(run, full)


def choose_settings(design: Design, results: Results) -> dict[tuple[str, str], Run]:
    """The tuning run of each (set-up, contender) with the best mean RP@5 of the sets to
    tune on; of equals the first."""
    best: dict[tuple[str, str], tuple[float, Run]] = {}
    for run in tuning_runs(design):
        scores = results.scores(run)
        mean = float(numpy.mean([scores[s][:, RP5].mean() for s in design.tune_on]))
        place = run.set_up, run.contender
        if place not in best or mean > best[place][0]:
            best[place] = mean, run
    return {place: run for place, (_, run) in best.items()}


def final_runs(
    design: Design, chosen: dict[tuple[str, str], Run]
) -> dict[tuple[str, str], list[Run]]:
    """The runs of each (set-up, contender), one for each seed; untrained there is one."""
    runs = {}
    for name, set_up in design.set_ups.items():
        if set_up.names:
            runs[name, UNTRAINED] = [Run(name, UNTRAINED, 0.0, 0.0, (), 0)]
    for place, run in chosen.items():
        runs[place] = [replace(run, seed=seed) for seed in design.seeds]
    return runs


def run_comparison(
    design: Design, output: Path, n_process: int
) -> tuple[Results, dict[tuple[str, str], list[Run]]]:
    """Tune on the tuning seed, then run every contender on every seed.

    Interrupted and repeated, it goes on after the last run in output/results.jsonl.
    """
    data = load_data(design)
    for contender in design.contenders.values():
        # Tables of neighbours are made once, before the processes part.
        corpus = data.corpora[contender.corpus].pool
        contender.sampler.neighbours(next(iter(corpus.rows)))
    results = Results(output / "results.jsonl", digests(design, data))
    runner = Runner(design, data)
    run_all(runner, results, tuning_runs(design), False, n_process)
    runs = final_runs(design, choose_settings(design, results))
    every = [run for group in runs.values() for run in group]
    run_all(runner, results, every, True, n_process)
    return results, runs
