import numpy
import pytest

from spacy_skills.vectors import VectorCache


def vectors(n, seed=0):
    return numpy.random.default_rng(seed).normal(size=(n, 4)).astype("float32")


def fill(cache):
    texts = [f"text {i}" for i in range(23)]
    expected = vectors(23)
    for start, end in ((0, 1), (1, 8), (8, 9), (9, 23)):
        cache.add(texts[start:end], expected[start:end])
    return texts, expected


@pytest.mark.parametrize("on_disk", [False, True])
def test_gives_back_what_was_added(tmp_path, on_disk):
    cache = VectorCache(4, tmp_path if on_disk else None, "an encoder")
    texts, expected = fill(cache)
    order = [5, 22, 0, 8, 5]
    rows = cache.rows([texts[i] for i in order])
    assert numpy.array_equal(cache.take(rows), expected[order])
    assert cache.rows(["unknown"]) == [-1]


def test_survives_the_process_and_an_interrupted_write(tmp_path):
    texts, expected = fill(VectorCache(4, tmp_path, "an encoder"))
    folder = next(tmp_path.iterdir())
    with (folder / "vectors.bin").open("ab") as file_:
        file_.write(b"\0" * 21)  # a vector and a bit, without their keys
    cache = VectorCache(4, tmp_path, "an encoder")
    assert len(cache) == 23
    cache.add(["later"], vectors(1, seed=1))
    again = VectorCache(4, tmp_path, "an encoder")
    assert numpy.array_equal(again.take(again.rows(texts)), expected)
    assert numpy.array_equal(again.take(again.rows(["later"])), vectors(1, seed=1))


def test_keeps_encoders_apart(tmp_path):
    fill(VectorCache(4, tmp_path, "an encoder"))
    assert len(VectorCache(4, tmp_path, "another encoder")) == 0


def test_damage_is_named(tmp_path):
    fill(VectorCache(4, tmp_path, "an encoder"))
    folder = next(tmp_path.iterdir())
    (folder / "vectors.bin").write_bytes(b"\0" * 16)
    with pytest.raises(ValueError, match="S009.*damaged"):
        VectorCache(4, tmp_path, "an encoder")
