import numpy
import pytest
from conftest import uri

from spacy_skills.mining import MinedNegatives, find_miners
from spacy_skills.sampler import MixedNegatives, RandomNegatives, SentencePool
from spacy_skills.strategies import make_mined_negatives

SKILLS = ["bread", "bread", "java", "java", "sql", ""]
# Rows: sentences; columns: bread, java, sql, in the order of pool.rows.
LOGITS = numpy.array(
    [[5, 0, 0], [3, 0, 0], [3.5, 4, 1], [1, 4, 3], [0, 2.5, 4], [2, 3.9, 0]]
)


@pytest.fixture
def pool():
    return SentencePool([frozenset({uri(s)} if s else ()) for s in SKILLS])


def draw(sampler, pool, skill, n=9):
    return set(sampler.sample(uri(skill), pool, n, numpy.random.default_rng(0)))


def test_the_highest_below_the_margin_are_drawn(pool):
    sampler = MinedNegatives(margin=1.0, depth=2, candidates=100)
    sampler.mine(pool, lambda rows: LOGITS[rows])
    # The median of bread's own sentences is 4: 3.5 is too close, 2 and 1 are hard.
    assert draw(sampler, pool, "bread") == {5, 3}
    # Java's is 4: 3.9 is too close.
    assert draw(sampler, pool, "java") == {4, 0} or draw(sampler, pool, "java") == {
        4,
        1,
    }
    assert sampler.neighbours(uri("bread")) == [uri("java")]
    assert sampler.skipped(pool) == {"likely false negative": 3}


def test_margin_and_depth_say_how_much(pool):
    sampler = MinedNegatives(margin=0.1, depth=1, candidates=100)
    sampler.mine(pool, lambda rows: LOGITS[rows])
    assert draw(sampler, pool, "bread") == {2}
    wide = MinedNegatives(margin=99.0, depth=1, candidates=100)
    wide.mine(pool, lambda rows: LOGITS[rows])
    # Nothing is left to mine: any sentence but its own.
    assert draw(wide, pool, "bread") <= {2, 3, 4, 5}


def test_before_mining_negatives_are_random(pool):
    sampler = MinedNegatives(margin=1.0, depth=2, candidates=100)
    assert draw(sampler, pool, "bread", n=50) == {2, 3, 4, 5}
    assert not sampler.neighbours(uri("bread"))


def test_candidates_bound_what_is_looked_at():
    pool = SentencePool([frozenset({uri("bread")}), *[frozenset()] * 999])
    sampler = MinedNegatives(margin=0.0, depth=1000, candidates=100)
    sampler.mine(
        pool, lambda rows: -numpy.ones((len(rows), 1)) * (numpy.array([rows]).T)
    )
    drawn = draw(sampler, pool, "bread", n=1000)
    assert 90 <= len(drawn) <= 100


def test_miners_are_found_in_mixes():
    miner = MinedNegatives(1.0, 2, 10)
    inner = MixedNegatives({"m": miner}, {"m": 1})
    mix = MixedNegatives({"r": RandomNegatives(), "i": inner}, {"r": 1, "i": 1})
    assert list(find_miners(mix)) == [miner]
    assert not list(find_miners(RandomNegatives()))


def test_mines_with_a_saved_pipeline(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    texts = ["bake bread now", "we bake pastry", "drive trucks", "they plaster walls"]
    keys = ["bread", "pastry", "truck", "walls"]
    pool = SentencePool([frozenset({uri(k)}) for k in keys], texts)
    ranker = nlp.get_pipe("esco_skills")
    docs = [nlp(text) for text in texts]
    logits = numpy.array([line for _, line in ranker.rank(docs)])
    columns = [ranker.taxonomy.index(skill) for skill in pool.rows]
    expected = MinedNegatives(0.5, 1, 100)
    expected.mine(pool, lambda rows: logits[rows][:, columns])
    found = make_mined_negatives(
        tmp_path / "pipeline", margin=0.5, depth=1, cache=tmp_path / "vectors"
    )
    for key in keys:
        assert draw(found, pool, key) == draw(expected, pool, key)
    assert found.skipped(pool) == expected.skipped(pool)
    assert found.neighbours(uri("bread")) == expected.neighbours(uri("bread"))


def test_a_missing_pipeline_is_named(pool, tmp_path):
    sampler = make_mined_negatives(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="S504.*nowhere"):
        draw(sampler, pool, "bread")
