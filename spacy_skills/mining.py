"""Hard negatives, mined by the current model: the sentences it ranks high for a skill."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy
from numpy.random import Generator
from spacy.util import load_model

from .benchmark import make_sentence_doc
from .errors import Errors
from .sampler import MixedNegatives, RandomNegatives, SentencePool, first_negatives

# Logits [rows, skills] of a pool's sentences for its skills, in the order of pool.rows.
Scorer = Callable[[list[int]], numpy.ndarray]

ROWS_PER_BLOCK = 512


class MinedNegatives:
    """The sentences that score highest for a skill without being likely positives.

    A sentence within `margin` logits of the median of the skill's positives, or above it,
    probably asks for the skill too and is skipped (TopK-MarginPos of NV-Retriever,
    Moreira et al. 2024, §3.1). Of the others the `depth` highest are drawn alike. Before
    anything is mined, negatives are random.
    """

    def __init__(self, margin: float, depth: int, candidates: int):
        """candidates: how many sentences are looked at, which bounds the memory."""
        self.margin = margin
        self.depth = depth
        self.candidates = candidates
        self._mined: dict[str, list[int]] = {}
        self._skills: dict[str, list[str]] = {}
        self._skipped: Counter[str] = Counter()
        self._pool: SentencePool | None = None

    def mine(self, pool: SentencePool, score: Scorer) -> None:
        """Choose anew, for every skill of the pool, by what the model thinks now."""
        n_rows, n_skills = len(pool.skills), len(pool.rows)
        step = max(n_rows / self.candidates, 1.0)
        kept = numpy.unique(numpy.arange(0, n_rows, step).astype(int))
        place = {int(row): i for i, row in enumerate(kept)}
        columns = {skill: j for j, skill in enumerate(pool.rows)}
        logits = numpy.empty((len(kept), n_skills), dtype="float16")
        positives: dict[str, list[float]] = {skill: [] for skill in pool.rows}
        for rows, scores in _score_blocks(n_rows, score):
            for row, line in zip(rows, scores):
                for skill in pool.skills[row]:
                    positives[skill].append(line[columns[skill]])
                if row in place:
                    logits[place[row]] = line
        self._pool, self._mined, self._skills = pool, {}, {}
        self._skipped = Counter()
        for skill, column in columns.items():
            limit = float(numpy.median(positives[skill])) - self.margin
            self._mined[skill] = self._choose(
                skill, pool, kept, logits[:, column].astype("float32"), limit
            )

    def _choose(
        self,
        skill: str,
        pool: SentencePool,
        kept: numpy.ndarray,
        logits: numpy.ndarray,
        limit: float,
    ) -> list[int]:
        positive = numpy.array([skill in pool.skills[row] for row in kept])
        likely = ~positive & (logits >= limit)
        self._skipped["likely false negative"] += int(likely.sum())
        left = numpy.flatnonzero(~positive & ~likely)
        order = left[numpy.argsort(-logits[left], kind="stable")][: self.depth]
        rows = [int(kept[i]) for i in order]
        named = Counter(uri for row in rows for uri in pool.skills[row])
        self._skills[skill] = [uri for uri, _ in named.most_common()]
        return rows

    def neighbours(self, skill: str) -> Sequence[str]:
        """Skills of the mined sentences, the most frequent first."""
        return self._skills.get(skill, ())

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        mined = self._mined.get(skill)
        if not mined:
            return RandomNegatives().sample(skill, pool, n, rng)
        draws = rng.permutation(mined).tolist()
        return first_negatives(skill, pool, n, draws)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        return self._skipped


def _score_blocks(
    n_rows: int, score: Scorer
) -> Iterator[tuple[list[int], numpy.ndarray]]:
    for start in range(0, n_rows, ROWS_PER_BLOCK):
        rows = list(range(start, min(start + ROWS_PER_BLOCK, n_rows)))
        yield rows, score(rows)


class PipelineMinedNegatives(MinedNegatives):
    """Mines with a saved pipeline, read anew with every pool, which is every epoch: that
    of the last round, or the model-last of the running training (as ANCE refreshes its
    index from checkpoints, Xiong et al. 2021, §4)."""

    def __init__(
        self,
        pipeline: Path,
        margin: float,
        depth: int,
        candidates: int,
        cache: Path | None,
    ):
        super().__init__(margin, depth, candidates)
        self.pipeline = pipeline
        self.cache = cache

    def sample(
        self, skill: str, pool: SentencePool, n: int, rng: Generator
    ) -> list[int]:
        self._refresh(pool)
        return super().sample(skill, pool, n, rng)

    def skipped(self, pool: SentencePool) -> Mapping[str, int]:
        self._refresh(pool)
        return super().skipped(pool)

    def _refresh(self, pool: SentencePool) -> None:
        if self._pool is pool:
            return
        # Brings the transformers library, which costs seconds to import.
        from .encoder import attach_cache
        from .ranker import SkillRanker

        if not Path(self.pipeline).exists():
            raise ValueError(Errors.S504.format(path=self.pipeline))
        nlp = load_model(self.pipeline)
        rankers = [p for _, p in nlp.pipeline if isinstance(p, SkillRanker)]
        if not rankers:
            pipes = ", ".join(nlp.pipe_names) or "none"
            raise ValueError(Errors.S408.format(pipeline=self.pipeline, pipes=pipes))
        ranker = rankers[0]
        if self.cache is not None:
            attach_cache(ranker.model.layers[0], self.cache)
        columns = [ranker.taxonomy.index(skill) for skill in pool.rows]
        before = nlp.pipe_names[: nlp.pipe_names.index(ranker.name)]

        def score(rows: list[int]) -> numpy.ndarray:
            with nlp.select_pipes(enable=before):
                docs = [make_sentence_doc(nlp, pool.texts[row]) for row in rows]
                docs = list(nlp.pipe(docs))
            return numpy.array([logits[columns] for _, logits in ranker.rank(docs)])

        self.mine(pool, score)


def find_miners(sampler: object) -> Iterator[MinedNegatives]:
    """Those of a strategy that mine: itself, or parts of a mix."""
    if isinstance(sampler, MinedNegatives):
        yield sampler
    elif isinstance(sampler, MixedNegatives):
        for part in sampler.strategies.values():
            yield from find_miners(part)
