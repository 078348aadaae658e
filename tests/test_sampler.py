from collections import Counter

import numpy
import pytest
from conftest import uri

from spacy_skills.sampler import (
    SentencePool,
    make_random_negatives,
    make_sibling_negatives,
)

LABELS = ["java", "java", "python", "sql", "bread", "bread", "pastry", "truck"]


@pytest.fixture
def pool():
    skills = [frozenset({uri(label)}) for label in LABELS]
    return SentencePool([*skills, frozenset({uri("java"), uri("python")})])


@pytest.fixture(params=["random", "siblings"])
def sampler(request, taxonomy_path):
    if request.param == "random":
        return make_random_negatives()
    return make_sibling_negatives(taxonomy_path)


@pytest.mark.parametrize("skill", ["java", "truck", "dough", "wounds"])
def test_negatives_are_distinct_and_never_positives(sampler, pool, skill):
    rng = numpy.random.default_rng(0)
    for n in (0, 1, 3, 50):
        rows = sampler.sample(uri(skill), pool, n, rng)
        assert len(rows) == len(set(rows)) <= n
        assert not any(uri(skill) in pool.skills[row] for row in rows)


def test_same_seed_same_negatives(sampler, pool):
    draws = [
        sampler.sample(uri("java"), pool, 3, numpy.random.default_rng(7)) for _ in "ab"
    ]
    assert draws[0] == draws[1]


def test_random_draws_all_sentences_alike(pool):
    rng = numpy.random.default_rng(0)
    draws = Counter()
    for _ in range(3000):
        draws.update(make_random_negatives().sample(uri("truck"), pool, 1, rng))
    assert set(draws) == set(range(9)) - {7}
    assert max(draws.values()) < 1.3 * min(draws.values())


def test_siblings_draw_siblings_each_alike(taxonomy_path, pool):
    sampler = make_sibling_negatives(taxonomy_path)
    assert set(sampler.neighbours(uri("java"))) == {uri("python"), uri("sql")}
    rng = numpy.random.default_rng(0)
    draws = Counter()
    for _ in range(2000):
        draws.update(sampler.sample(uri("java"), pool, 1, rng))
    # Row 8 is a sentence of the sibling Python, but of Java too.
    assert set(draws) == {2, 3}
    assert draws[3] > draws[2] * 0.8


def test_without_siblings_negatives_are_random(taxonomy_path, pool):
    sampler = make_sibling_negatives(taxonomy_path)
    assert not sampler.neighbours(uri("truck"))
    rows = sampler.sample(uri("truck"), pool, 4, numpy.random.default_rng(0))
    assert len(rows) == 4
    # Walls are wires' only sibling, and no sentence names them.
    assert len(sampler.sample(uri("wires"), pool, 4, numpy.random.default_rng(0))) == 4


def test_a_pool_of_positives_only_gives_none(sampler):
    pool = SentencePool([frozenset({uri("java")})] * 3)
    assert sampler.sample(uri("java"), pool, 5, numpy.random.default_rng(0)) == []
