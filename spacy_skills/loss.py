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
