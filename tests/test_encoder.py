import numpy
import pytest
import spacy
import torch
from numpy.testing import assert_allclose
from spacy_transformers import Transformer  # noqa: F401  (registers its factory)
from thinc.api import Adam
from transformers import AutoModel, AutoTokenizer
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from spacy_skills.encoder import (
    attach_cache,
    build_transformer_encoder,
    encode_texts,
)
from spacy_skills.inference import text_vectors
from spacy_skills.listener import build_listener_encoder
from spacy_skills.phrases import Segments, make_clause_phrases

nlp = spacy.blank("en")
TEXTS = ["Bake bread, bake pastry", "install electrical wiring", "Bake bread", "x"]


def segments(texts=TEXTS):
    return Segments.from_docs([nlp.make_doc(t) for t in texts], make_clause_phrases())


def make(tiny_encoder, **settings):
    model = build_transformer_encoder(tiny_encoder, **settings)
    model.initialize()
    return model


def torch_model(encoder):
    return encoder.layers[0].transformer


@pytest.mark.parametrize("frozen", [True, False])
def test_vectors_are_the_mean_over_wordpieces(tiny_encoder, frozen):
    found = make(tiny_encoder, frozen=frozen, int8=False).predict(segments())
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    for row, span in enumerate(segments().spans):
        with torch.no_grad():
            hidden = model(
                **tokenizer(span.text, return_tensors="pt")
            ).last_hidden_state
        assert_allclose(found[row], hidden[0].mean(dim=0).numpy(), atol=1e-5)


def test_gradient_equals_finite_differences(tiny_encoder):
    encoder = make(tiny_encoder, frozen=False, int8=False)
    weight = torch_model(encoder).encoder.layer[1].output.dense.weight
    direction = numpy.random.default_rng(0).normal(size=(len(segments().spans), 16))
    _, backprop = encoder.begin_update(segments())
    backprop(direction.astype("float32"))
    for i, j in ((0, 0), (3, 7), (15, 31)):
        values = []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                weight[i, j] += step
            values.append(float((encoder.predict(segments()) * direction).sum()))
        with torch.no_grad():
            weight[i, j] += 1e-2
        numeric = (values[0] - values[1]) / 2e-2
        assert float(weight.grad[i, j]) == pytest.approx(numeric, rel=0.02, abs=1e-3)


def test_frozen_encoder_sees_each_text_once_and_never_moves(tiny_encoder):
    encoder = make(tiny_encoder, frozen=True)
    before = {k: v.clone() for k, v in torch_model(encoder).state_dict().items()}
    vectors, backprop = encoder.begin_update(segments())
    backprop(numpy.ones_like(vectors))
    encoder.finish_update(Adam(0.1))
    after = torch_model(encoder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(encoder.attrs["cache"]) == len({s.text for s in segments().spans})
    assert_allclose(encoder.predict(segments()), vectors)


def test_fine_tuned_encoder_moves(tiny_encoder):
    encoder = make(tiny_encoder, frozen=False, int8=False)
    before = encoder.predict(segments())
    for _ in range(2):
        vectors, backprop = encoder.begin_update(segments())
        backprop(numpy.ones_like(vectors))
        encoder.finish_update(Adam(0.01))
        after = encoder.predict(segments())
        assert not numpy.allclose(after, before)
        tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
        for span, vector in zip(segments().spans, after):
            pieces = tokenizer(span.text, return_tensors="pt")
            hidden = torch_model(encoder)(**pieces).last_hidden_state[0].detach()
            assert_allclose(vector, hidden.mean(dim=0), atol=1e-4)
        before = after


def test_cached_vectors_serve_the_next_run(tiny_encoder, tmp_path):
    first = make(tiny_encoder, frozen=True)
    attach_cache(first, tmp_path)
    vectors = first.predict(segments())
    second = make(tiny_encoder, frozen=True)
    attach_cache(second, tmp_path)
    with torch.no_grad():
        for parameter in torch_model(second).parameters():
            parameter.zero_()
    assert_allclose(second.predict(segments()), vectors)


def test_only_a_frozen_transformer_is_cached(tiny_encoder, tmp_path):
    with pytest.raises(ValueError, match="S002"):
        attach_cache(make(tiny_encoder, frozen=False), tmp_path)


def test_a_missing_encoder_is_named():
    with pytest.raises(ValueError, match="S001.*no/such/folder.*"):
        build_transformer_encoder("no/such/folder/x").initialize()


def test_a_vector_does_not_depend_on_its_neighbours(tiny_encoder):
    encoder = make(tiny_encoder)
    alone = encode_texts(encoder, ["Bake bread"], nlp)
    among = encode_texts(encoder, ["", *TEXTS, "a b c d e f g", " "], nlp)
    assert_allclose(among[3], alone[0], atol=1e-5)
    assert not among[0].any() and not among[-1].any()
    assert_allclose((alone**2).sum(axis=1), 1.0, rtol=1e-5)


@pytest.fixture
def shared(tiny_encoder):
    pipeline = spacy.blank("en")
    config = {
        "model": {
            "@architectures": "spacy-transformers.TransformerModel.v3",
            "name": tiny_encoder,
            "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
            "tokenizer_config": {"use_fast": True},
        }
    }
    transformer = pipeline.add_pipe("transformer", config=config)
    transformer.model.initialize()
    encoder = build_listener_encoder()
    listener = encoder.layers[0].get_ref("listener")
    transformer.add_listener(listener, "esco_skills")
    listener.set_dim("nO", 16)
    encoder.initialize()
    return pipeline, encoder


def test_listener_pools_the_tokens_of_each_piece(shared):
    pipeline, encoder = shared
    docs = [pipeline("Bake bread, bake pastry"), pipeline(""), pipeline("x")]
    found = encoder.predict(Segments.from_docs(docs, make_clause_phrases()))
    data = docs[0]._.trf_data
    tokens = [
        data.model_output.last_hidden_state[0][data.align[i].data.ravel()].mean(axis=0)
        for i in range(len(docs[0]))
    ]
    assert len(found) == 4
    assert_allclose(found[0], numpy.mean(tokens, axis=0), atol=1e-5)
    assert_allclose(found[2], numpy.mean(tokens[3:], axis=0), atol=1e-5)


def test_listener_without_transformer_raises(shared):
    _, encoder = shared
    with pytest.raises(ValueError, match="S003"):
        encoder.predict(segments())


def test_transformers_without_a_bound_read_all(tiny_encoder):
    encoder = make(tiny_encoder)
    tokenizer, transformer = encoder.layers[0].tokenizer, torch_model(encoder)
    # XLNet's config, and a tokenizer that was saved without a bound.
    transformer.config.max_position_embeddings = -1
    tokenizer.model_max_length = VERY_LARGE_INTEGER
    vectors = text_vectors(tokenizer, transformer, ["bake bread " * 8], "float32")
    assert vectors.shape == (1, 16) and vectors.any()
