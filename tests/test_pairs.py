from collections import Counter

import pytest
from conftest import SKILLS, uri

from spacy_skills.pairs import PairBatcher, TopicOrder
from spacy_skills.sampler import RandomNegatives, SentencePool

POSITIVES = {"java": 5, "python": 4, "sql": 1, "bread": 6, "pastry": 3, "walls": 2}


@pytest.fixture
def pool():
    labels = [key for key, n in POSITIVES.items() for _ in range(n)]
    skills = [frozenset({uri(key)}) for key in labels]
    return SentencePool([*skills, frozenset({uri("java"), uri("bread")}), frozenset()])


def test_every_pair_once_and_negatives_at_the_ratio(pool):
    batches = list(
        PairBatcher(
            RandomNegatives(),
            skills_per_batch=2,
            positives_per_skill=2,
            negatives_per_positive=1.5,
        )(pool)
    )
    seen = Counter(pair for batch in batches for pair in batch.positives)
    gold = [(row, s) for row, skills in enumerate(pool.skills) for s in skills]
    assert seen == Counter(gold)
    for batch in batches:
        asked = Counter(skill for _, skill in batch.positives)
        drawn = Counter(skill for _, skill in batch.negatives)
        assert not any(skill in pool.skills[row] for row, skill in batch.negatives)
        assert set(drawn) == set(asked)
        # Handfuls of 2 bring 3 negatives, of 1 bring 2 (1.5 rounded to even).
        assert all(1.5 * asked[s] <= drawn[s] <= 2 * asked[s] for s in asked)


def test_in_batch_negatives_are_the_batch_s_own_sentences(pool):
    batcher = PairBatcher(RandomNegatives(), skills_per_batch=3, in_batch=True)
    n_drawn = 0
    for batch in batcher(pool):
        own = {row for row, _ in batch.positives}
        assert {row for row, _ in batch.negatives} <= own
        assert not any(skill in pool.skills[row] for row, skill in batch.negatives)
        n_drawn += len(batch.negatives)
    assert n_drawn > 20


def test_topics_share_batches(taxonomy, pool):
    batcher = PairBatcher(
        RandomNegatives(),
        order=TopicOrder(lambda: taxonomy),
        skills_per_batch=2,
        positives_per_skill=1,
    )
    epochs = []
    for _ in range(2):
        batches = [sorted({s for _, s in b.positives}) for b in batcher(pool)]
        groups = [{SKILLS[s.rsplit("/", 1)[1]][2] for s in b} for b in batches]
        # Only where one of three branches ends and the next begins can two be in a batch.
        assert sum(len(group) > 1 for group in groups) <= 2
        epochs.append(batches)
    assert epochs[0] != epochs[1]


def test_same_seed_same_batches(pool):
    def run(seed):
        batcher = PairBatcher(RandomNegatives(), skills_per_batch=2, seed=seed)
        return [(b.positives, b.negatives) for b in batcher(pool)]

    assert run(1) == run(1)
    assert run(1) != run(2)
