"""The packed transformer against transformers itself."""

import numpy
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModel

from spacy_skills import int8
from spacy_skills.int8 import Int8Linear, Int8LinearOfGelu, Linear, round_rows
from spacy_skills.packable import packed_bert
from spacy_skills.packed import PackedBert
from spacy_skills.vectors import Recent

rng = numpy.random.default_rng(0)
# Lengths that fall into several groups, and a text that comes twice.
TEXTS = [rng.integers(5, 60, size=n).tolist() for n in (3, 9, 3, 20, 1, 9, 60)]
TEXTS.append(TEXTS[1])

needs_int8 = pytest.mark.skipif(
    not int8.has_int8_products(), reason="the CPU has no VNNI"
)


@pytest.fixture
def transformer(tiny_encoder):
    return AutoModel.from_pretrained(tiny_encoder, add_pooling_layer=False).eval()


def hidden(transformer, text):
    with torch.no_grad():
        return transformer(torch.tensor([text])).last_hidden_state[0]


def test_states_are_those_of_transformers(transformer):
    states = PackedBert(transformer, int8=False).states(TEXTS)
    for text, found in zip(TEXTS, states, strict=True):
        assert_allclose(found, hidden(transformer, text), atol=1e-5)


def test_means_are_those_of_transformers_also_when_seen_before(transformer):
    packed = PackedBert(transformer, int8=False)
    expected = [hidden(transformer, t).mean(dim=0).numpy() for t in TEXTS]
    for _ in range(2):
        assert_allclose(packed.means(TEXTS), expected, atol=1e-5)


@needs_int8
def test_rounded_vectors_point_where_exact_ones_do(transformer):
    exact = PackedBert(transformer, int8=False).means(TEXTS)
    rounded = PackedBert(transformer, int8=True).means(TEXTS)
    assert not numpy.array_equal(exact, rounded)
    norms = numpy.linalg.norm(exact, axis=1) * numpy.linalg.norm(rounded, axis=1)
    assert ((exact * rounded).sum(axis=1) / norms).min() > 0.99


@needs_int8
def test_a_text_s_vector_does_not_depend_on_its_company(transformer):
    together = PackedBert(transformer, int8=True).means(TEXTS)
    for text, vector in zip(TEXTS, together):
        alone = PackedBert(transformer, int8=True).means([text])
        assert_allclose(alone[0], vector, atol=1e-4)


def test_changed_weights_are_packed_anew(transformer):
    before = packed_bert(transformer, int8=False).means(TEXTS[:1])
    assert packed_bert(transformer, int8=False) is packed_bert(transformer, int8=False)
    with torch.no_grad():
        transformer.encoder.layer[1].output.dense.weight[0] += 1.0
    after = packed_bert(transformer, int8=False).means(TEXTS[:1])
    assert_allclose(after[0], hidden(transformer, TEXTS[0]).mean(dim=0), atol=1e-5)
    assert numpy.abs(after - before).max() > 0.01


def relu(transformer):
    transformer.config.hidden_act = "relu"


def fewer_heads(transformer):
    transformer.prune_heads({0: [1]})


def hooked(transformer):
    transformer.encoder.layer[0].register_forward_hook(lambda *args: None)


def adapted(transformer):
    class Adapted(torch.nn.Linear):
        pass

    transformer.encoder.layer[1].output.dense = Adapted(32, 16)


@pytest.mark.parametrize("change", [relu, fewer_heads, hooked, adapted])
def test_other_architectures_are_not_packed(transformer, change):
    assert packed_bert(transformer, int8=False) is not None
    change(transformer)
    assert packed_bert(transformer, int8=False) is None


@pytest.mark.parametrize("rounded", [False, True])
def test_what_users_set_for_torch_does_not_matter(transformer, rounded):
    expected = PackedBert(transformer, rounded).means(TEXTS)
    packed = PackedBert(transformer, rounded)
    with torch.autocast("cpu", torch.bfloat16):
        assert_allclose(packed.means(TEXTS[:3]), expected[:3], atol=1e-4)
    torch.set_default_dtype(torch.float64)
    try:
        assert_allclose(packed.means(TEXTS), expected, atol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_texts_without_wordpieces_have_vectors_of_zeros(transformer):
    packed = PackedBert(transformer, int8=False)
    means = packed.means([[], [7, 8]])
    assert not means[0].any() and means[1].any()
    assert [len(s) for s in packed.states([[7], []])] == [1, 0]


def test_weights_loaded_in_inference_mode_are_packed(tiny_encoder):
    with torch.inference_mode():
        transformer = AutoModel.from_pretrained(tiny_encoder, add_pooling_layer=False)
    found = packed_bert(transformer.eval(), int8=False).means(TEXTS[:1])
    assert_allclose(found[0], hidden(transformer, TEXTS[0]).mean(dim=0), atol=1e-5)


@needs_int8
def test_few_positions_are_enough(transformer):
    table = transformer.embeddings.position_embeddings
    transformer.embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(
        table.weight[:8]
    )
    assert PackedBert(transformer, int8=True).means([[7, 8]]).any()


def test_vectors_that_are_remembered_stand_alone(transformer):
    packed = PackedBert(transformer, int8=False)
    packed.means(TEXTS)
    kept = list(packed._recent._values.values())
    assert all(vector.base is None for vector in kept)


def test_rounding_is_off_by_half_a_step_at_most():
    rows = torch.randn(5, 40)
    rounded, scales = round_rows(rows, 127)
    assert rounded.abs().max() == 127
    assert ((rounded * scales - rows).abs() <= scales / 2 + 1e-6).all()
    zeros, _ = round_rows(torch.zeros(2, 3), 127)
    assert not zeros.any()


@needs_int8
@pytest.mark.parametrize("peaks", [None, torch.full((64,), 3.0)])
def test_rounded_linear_layers_are_close(peaks):
    torch.manual_seed(0)
    linear = Linear(torch.randn(64, 32), torch.randn(32))
    x = torch.randn(20, 64)
    error = (Int8Linear.of(linear, peaks)(x) - linear(x)).norm() / linear(x).norm()
    assert error < 0.02


@needs_int8
def test_steps_of_gelu_are_half_as_wide():
    torch.manual_seed(0)
    linear = Linear(torch.randn(64, 32), torch.randn(32))
    x = torch.nn.functional.gelu(torch.randn(200, 64) * 3)
    errors = [
        (kind.of(linear)(x) - linear(x)).norm() / linear(x).norm()
        for kind in (Int8Linear, Int8LinearOfGelu)
    ]
    assert errors[1] < errors[0] < 0.02


def test_recent_finds_each_once_and_keeps_what_was_asked_for_last():
    asked = []

    def find(keys):
        asked.append(keys)
        return [key.upper() for key in keys]

    recent = Recent[str, str](2)
    assert recent.fill(["a", "b", "a"], find) == ["A", "B", "A"]
    assert recent.fill(["a"], find) == ["A"]
    assert recent.fill(["c", "a"], find) == ["C", "A"]
    assert recent.fill(["b", "d", "e"], find) == ["B", "D", "E"]
    assert asked == [["a", "b"], ["c"], ["b", "d", "e"]]
    Recent.forget_all()
    assert recent.fill(["e"], find) == ["E"]
    assert asked[3:] == [["e"]]
