"""The encoder that shares a transformer with other components of the pipeline."""

from collections.abc import Callable
from typing import Any

import numpy
from spacy.util import registry
from spacy_transformers.architectures import transformer_listener_tok2vec_v1
from thinc.api import Model, reduce_mean
from thinc.types import Floats2d

from .errors import Errors
from .phrases import Segments


@registry.architectures("spacy_skills.ListenerEncoder.v1")
def build_listener_encoder(
    upstream: str = "*", grad_factor: float = 1.0
) -> Model[Segments, Floats2d]:
    """Shares the pipeline's ``transformer`` component through a listener.

    A segment's vector is the mean over its tokens in the doc's own forward pass: pieces
    cost nothing, and see their context.

    upstream: name of the transformer component, "*" for the only one.
    grad_factor: weight of this component's gradient in the transformer; 0 freezes it.
    """
    return Model(
        "listener_encoder",
        _forward_listener,
        init=_init_listener,
        layers=[
            transformer_listener_tok2vec_v1(reduce_mean(), grad_factor, upstream),
        ],
        dims={"nO": None},
    )


def _init_listener(model: Model, X: Segments | None = None, Y: Any = None) -> Model:
    listener = model.layers[0].get_ref("listener")
    if not listener.has_dim("nO"):
        raise ValueError(Errors.S003)
    model.set_dim("nO", listener.get_dim("nO"))
    return model


def _forward_listener(
    model: Model, segments: Segments, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Any]]:
    if not is_train and any(len(d) and d._.trf_data is None for d in segments.docs):
        raise ValueError(Errors.S003)
    arrays, backprop = model.layers[0](segments.docs, is_train)
    width = model.get_dim("nO")
    tokens = model.ops.xp.vstack(
        [model.ops.reshape2f(a, len(d), width) for a, d in zip(arrays, segments.docs)]
    )
    offsets = numpy.cumsum([0] + [len(doc) for doc in segments.docs])
    first = {id(doc): int(offset) for doc, offset in zip(segments.docs, offsets)}
    lengths = model.ops.asarray1i([len(span) for span in segments.spans])
    index = model.ops.asarray1i(
        [first[id(s.doc)] + i for s in segments.spans for i in range(s.start, s.end)]
    )
    pooled = model.ops.reduce_mean(tokens[index], lengths)

    def backprop_listener(d_pooled: Floats2d) -> Any:
        d_tokens = model.ops.alloc2f(*tokens.shape)
        d_index = model.ops.backprop_reduce_mean(d_pooled, lengths)
        model.ops.scatter_add(d_tokens, index, d_index)
        return backprop([d_tokens[i:j] for i, j in zip(offsets[:-1], offsets[1:])])

    return pooled, backprop_listener
