"""How fast a pipeline is beside its own encoder: the same sentences, in turns, on one machine."""

import cProfile
import importlib.util
import pstats
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from spacy.language import Language

from .encoder import bundled_minilm
from .errors import Errors
from .inference import mean_pool
from .peer_server import peak_megabytes as peak_megabytes
from .ranker import SkillRanker
from .vectors import Recent

TEXTS_PER_CALL = 64
LINES_PER_AD = 40
# What the profiler calls the functions whose share of the time is shown.
STAGES = {
    "tokenising": ("tokenizer.pyx", "__call__"),
    "marking": ("spanner.py", "__call__"),
    "encoding": ("inference.py", "text_vectors"),
    "ranking": ("shortlist.py", "_screened"),
    "annotating": ("ranker.py", "set_annotations"),
}

# What ratios are to: the first of these that is there.
REFERENCES = (
    "sentence-transformers, encode",
    "transformers, encoder alone",
    "spacy-skills",
)

Contender = Callable[[Sequence[str]], object]


@dataclass(frozen=True)
class Speed:
    """Sentences a second of each round."""

    name: str
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def contenders(nlp: Language) -> dict[str, Contender]:
    """The pipeline with one process and with two, its encoder by transformers, if it has its own,
    and sentence-transformers, if it is there, with the default encoder's base. Raises ValueError
    if the pipeline has no ranker."""
    found: dict[str, Contender] = {
        "spacy-skills": lambda texts: annotate(nlp, texts),
        "spacy-skills, in ads": lambda texts: annotate(nlp, in_ads(texts)),
        "spacy-skills, in ads, 2 processes": lambda texts: annotate(
            nlp, in_ads(texts), 2
        ),
    }
    encoder = _ranker(nlp).model.layers[0]
    if encoder.name == "transformer_encoder":
        found["transformers, encoder alone"] = _bare_encoder(encoder.layers[0])
    if importlib.util.find_spec("sentence_transformers") is not None:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(bundled_minilm(), device="cpu")
        found["sentence-transformers, encode"] = lambda texts: model.encode(
            list(texts), show_progress_bar=False
        )
    return found


def annotate(nlp: Language, texts: Sequence[str], n_process: int = 1) -> None:
    """The pipeline as a contender."""
    # Some batches for each process, where more than one share the work.
    size = nlp.batch_size if n_process == 1 else 1 + len(texts) // (4 * n_process)
    for _ in nlp.pipe(texts, n_process=n_process, batch_size=size):
        pass


def in_ads(texts: Sequence[str]) -> list[str]:
    """The same sentences as the lines of some ads: what is to be done for each doc, such as to
    send it to another process, is done less often."""
    starts = range(0, len(texts), LINES_PER_AD)
    return ["\n".join(texts[start : start + LINES_PER_AD]) for start in starts]


def _ranker(nlp: Language) -> SkillRanker:
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, SkillRanker):
            return pipe
    pipes = ", ".join(nlp.pipe_names) or "none"
    raise ValueError(Errors.S408.format(pipeline=nlp.meta["name"], pipes=pipes))


def _bare_encoder(encoder: Any) -> Contender:
    """Batches of 64 texts as they come, float32."""

    def encode(texts: Sequence[str]) -> None:
        with torch.inference_mode():
            for i in range(0, len(texts), TEXTS_PER_CALL):
                pieces = encoder.tokenizer(
                    list(texts[i : i + TEXTS_PER_CALL]),
                    padding=True,
                    truncation=True,
                    max_length=encoder.transformer.config.max_position_embeddings,
                    return_tensors="pt",
                )
                hidden = encoder.transformer(**pieces).last_hidden_state
                mean_pool(hidden, pieces["attention_mask"])

    return encode


def measure(
    found: dict[str, Contender], texts: Sequence[str], rounds: int
) -> Iterator[tuple[str, float]]:
    """(name, sentences a second), round after round, each contender once in a round. No
    contender has seen the texts before, and each has had one to warm up."""
    for _ in range(rounds):
        for name, contender in found.items():
            Recent.forget_all()
            contender(texts[:1])
            started = time.perf_counter()
            contender(texts)
            yield name, len(texts) / (time.perf_counter() - started)


def shares(nlp: Language, texts: Sequence[str]) -> dict[str, float]:
    """Each stage's share of the time with one process, by the profiler, which counts against
    what is written in Python. What is done but once does not count."""
    # Not all, or the tokenizer would know every word.
    annotate(nlp, texts[: 1 + len(texts) // 10])
    Recent.forget_all()
    profile = cProfile.Profile()
    profile.enable()
    annotate(nlp, texts)
    profile.disable()
    stats = pstats.Stats(profile)
    total: float = stats.total_tt  # type: ignore[attr-defined]
    by_stage = {
        stage: sum(
            cumulative
            for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items()  # type: ignore[attr-defined]
            if file.endswith(module) and name == function
        )
        for stage, (module, function) in STAGES.items()
    }
    found = {stage: seconds / total for stage, seconds in by_stage.items()}
    return {**found, "other": 1 - sum(found.values())}
