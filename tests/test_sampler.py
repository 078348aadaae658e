from collections import Counter

import numpy
import pytest
from conftest import uri

from spacy_skills.encoder import build_transformer_encoder
from spacy_skills.sampler import NegativeSampler, SentencePool
from spacy_skills.strategies import (
    make_cosine_negatives,
    make_levenshtein_negatives,
    make_mixed_negatives,
    make_random_negatives,
    make_relative_negatives,
    make_sibling_negatives,
    make_unlabelled_negatives,
)
from spacy_skills.taxonomy import Group, Skill, Taxonomy

LABELS = ["java", "java", "python", "sql", "bread", "bread", "pastry", "truck"]


@pytest.fixture
def pool():
    skills = [frozenset({uri(label)}) for label in LABELS]
    return SentencePool([*skills, frozenset({uri("java"), uri("python")})])


@pytest.fixture
def samplers(taxonomy_path, tiny_encoder, tmp_path):
    encoder = build_transformer_encoder(tiny_encoder)
    random, siblings = make_random_negatives(), make_sibling_negatives(taxonomy_path)
    return {
        "random": random,
        "siblings": siblings,
        "relatives": make_relative_negatives(taxonomy_path),
        "levenshtein": make_levenshtein_negatives(taxonomy_path, 3, cache=tmp_path),
        "cosine": make_cosine_negatives(taxonomy_path, encoder, 3, cache=tmp_path),
        "unlabelled": make_unlabelled_negatives(),
        "mixed": make_mixed_negatives(
            {"r": random, "s": siblings}, {"r": 1.0, "s": 3.0}
        ),
    }


STRATEGIES = [
    "random",
    "siblings",
    "relatives",
    "levenshtein",
    "cosine",
    "unlabelled",
    "mixed",
]


@pytest.fixture(params=STRATEGIES)
def sampler(request, samplers):
    return samplers[request.param]


def test_every_strategy_keeps_the_protocol(sampler, pool):
    assert isinstance(sampler, NegativeSampler)
    assert uri("java") not in sampler.neighbours(uri("java"))
    assert all(count >= 0 for count in sampler.skipped(pool).values())


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


@pytest.mark.parametrize("strategy", ["siblings", "relatives", "levenshtein", "cosine"])
def test_strategies_draw_from_their_neighbours_alone(samplers, strategy):
    sampler = samplers[strategy]
    labels = ["java", "python", "sql", "bread", "pastry", "dough", "walls", "wires"]
    pool = SentencePool([frozenset({uri(label)}) for label in labels * 3])
    rng = numpy.random.default_rng(0)
    for skill in ("java", "bread", "wires"):
        allowed = set(sampler.neighbours(uri(skill)))
        drawn = {
            next(iter(pool.skills[row]))
            for _ in range(50)
            for row in sampler.sample(uri(skill), pool, 3, rng)
        }
        assert drawn == {n for n in allowed if n in pool.rows}


def test_a_mix_has_the_configured_proportions(samplers, pool):
    siblings, random = samplers["siblings"], samplers["random"]
    bread = {4, 5}
    only_siblings = make_mixed_negatives({"s": siblings, "r": random}, {"s": 1, "r": 0})
    rng = numpy.random.default_rng(0)
    assert {
        row
        for _ in range(200)
        for row in only_siblings.sample(uri("pastry"), pool, 1, rng)
    } == bread
    mix = make_mixed_negatives({"s": siblings, "r": random}, {"s": 1, "r": 3})
    draws = [mix.sample(uri("pastry"), pool, 1, rng)[0] for _ in range(4000)]
    # A quarter siblings, and 2 of the 8 sentences that random negatives draw from.
    expected = 0.25 + 0.75 * 2 / 8
    share = sum(row in bread for row in draws) / len(draws)
    error = (expected * (1 - expected) / len(draws)) ** 0.5
    assert abs(share - expected) < 4 * error


def test_relatives_are_drawn_by_their_weight(tmp_path):
    groups = [("top", ()), ("a", ("top",)), ("b", ("top",))]
    keys = {"me": "a", "brother": "a", "cousin": "b", "cousin2": "b"}
    taxonomy = Taxonomy(
        [
            Skill(uri(k), f"skill {k}", "", (), "", "", (uri(g),))
            for k, g in keys.items()
        ],
        [Group(uri(g), g, "", "", tuple(map(uri, up))) for g, up in groups],
    )
    taxonomy.to_disk(tmp_path / "t.bin")
    sampler = make_relative_negatives(tmp_path / "t.bin", steps=2, decay=0.5)
    pool = SentencePool([frozenset({uri(key)}) for key in keys])
    rng = numpy.random.default_rng(0)
    draws = Counter(sampler.sample(uri("me"), pool, 1, rng)[0] for _ in range(3000))
    # The brother has weight 1, the two cousins 0.5 together.
    assert draws[0] == 0
    assert draws[1] / 3000 == pytest.approx(2 / 3, abs=0.04)
    assert draws[2] / 3000 == pytest.approx(1 / 6, abs=0.03)


def test_neighbours_with_too_few_sentences_are_left_out(taxonomy_path, pool):
    sampler = make_sibling_negatives(taxonomy_path, min_positives=2)
    rng = numpy.random.default_rng(0)
    drawn = {r for _ in range(300) for r in sampler.sample(uri("java"), pool, 1, rng)}
    # SQL has one sentence, Python two, one of them a positive of Java.
    assert drawn == {2}
    all_drawn = make_sibling_negatives(taxonomy_path).skipped(pool)
    # Skills of the pool have 2 siblings each but the truck; the dough has no sentence.
    assert all_drawn["too few positives"] == 2
    # And of Java and Python SQL, of Python and SQL none, of bread pastry.
    assert sampler.skipped(pool)["too few positives"] == 2 + 2 + 1


def test_identical_names_are_no_neighbours(tmp_path, tiny_encoder):
    """Two skills of one name: a sentence that names one names the other."""
    skills = [
        Skill(uri("a"), "plan", "", (), "", "", (uri("g"),)),
        Skill(uri("b"), "Plan", "", (), "", "", (uri("g"),)),
        Skill(uri("c"), "paint", "", (), "", "", (uri("g"),)),
    ]
    taxonomy = Taxonomy(skills, [Group(uri("g"), "g", "", "", ())])
    path = tmp_path / "t.bin"
    taxonomy.to_disk(path)
    encoder = build_transformer_encoder(tiny_encoder)
    pool = SentencePool([frozenset({uri("a")}), frozenset({uri("b")})])
    for sampler in (
        make_sibling_negatives(path),
        make_relative_negatives(path),
        make_levenshtein_negatives(path, 2),
        make_cosine_negatives(path, encoder, 2),
    ):
        assert list(sampler.neighbours(uri("a"))) == [uri("c")]
        assert sampler.skipped(pool)["same name"] == 2


def test_unlabelled_sentences_come_first_where_there_are_any(pool):
    sampler = make_unlabelled_negatives()
    rng = numpy.random.default_rng(0)
    mixed = SentencePool([*pool.skills, frozenset(), frozenset()])
    assert set(sampler.sample(uri("java"), mixed, 9, rng)) == {9, 10}
    assert len(sampler.sample(uri("java"), pool, 3, rng)) == 3


@pytest.mark.parametrize(
    "weights", [{}, {"r": 1}, {"r": 0, "s": 0}, {"r": -1, "s": 2}, {"r": 1, "x": 1}]
)
def test_weights_that_make_no_mix_are_refused(samplers, weights):
    parts = {"r": samplers["random"], "s": samplers["siblings"]}
    with pytest.raises(ValueError, match="S503"):
        make_mixed_negatives(parts, weights)


def test_an_unknown_skill_is_named(samplers, pool):
    rng = numpy.random.default_rng(0)
    for name in ("siblings", "levenshtein", "cosine", "relatives"):
        with pytest.raises(ValueError, match="S502.*nonsense"):
            samplers[name].sample(uri("nonsense"), pool, 1, rng)


def test_a_listener_cannot_encode_names(taxonomy_path, pool):
    from spacy_skills.listener import build_listener_encoder

    sampler = make_cosine_negatives(taxonomy_path, build_listener_encoder())
    with pytest.raises(ValueError, match="S505"):
        sampler.neighbours(uri("java"))
