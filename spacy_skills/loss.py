"""The loss over the (sentence, skill) pairs that the sampling strategy chose."""

from thinc.api import Ops
from thinc.types import Floats2d


def masked_cross_entropy(
    ops: Ops, logits: Floats2d, labels: Floats2d, mask: Floats2d
) -> tuple[Floats2d, float]:
    """Binary cross-entropy, averaged over the pairs in the mask.

    logits, labels (0 or 1), mask (0 or 1): [sentences, skills]. Pairs outside the mask
    add neither loss nor gradient. Returns the gradient of the logits and the loss.
    """
    xp = ops.xp
    pairs = max(float(mask.sum()), 1.0)
    # log(1 + exp(-|x|)) does not overflow, whatever the sign of x.
    losses = xp.maximum(logits, 0) - logits * labels + xp.log1p(xp.exp(-abs(logits)))
    d_logits = (ops.sigmoid(logits) - labels) * mask / pairs
    return d_logits, float((losses * mask).sum() / pairs)


def softmax_cross_entropy(
    ops: Ops, logits: Floats2d, labels: Floats2d, known: Floats2d
) -> tuple[Floats2d, float]:
    """Each positive pair against the other skills of the batch, averaged over the pairs.

    labels: 1 for the positive pairs of the batch. known: 1 for every skill a sentence is a
    positive for, which is never taken for a negative. All are [sentences, skills].
    Returns the gradient of the logits and the loss.
    """
    xp = ops.xp
    pairs = max(float(labels.sum()), 1.0)
    others = xp.where(known > 0, -xp.inf, logits)
    highest = xp.maximum(others.max(axis=1, keepdims=True), logits.min())
    rest = xp.exp(others - highest)
    total = rest.sum(axis=1, keepdims=True)
    above = xp.log(xp.maximum(total, 1e-30)) + highest - logits
    misses = ops.sigmoid(above) * labels / pairs
    d_logits = rest / xp.maximum(total, 1e-30) * misses.sum(axis=1, keepdims=True)
    losses = xp.logaddexp(0, above) * labels
    return d_logits - misses, float(losses.sum() / pairs)
