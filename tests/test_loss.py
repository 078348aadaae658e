import math

import numpy
from thinc.api import NumpyOps

from spacy_skills.loss import masked_cross_entropy, softmax_cross_entropy

ops = NumpyOps()
rng = numpy.random.default_rng(0)
logits = (rng.normal(size=(6, 5)) * 4).astype("float32")
labels = rng.integers(0, 2, size=(6, 5)).astype("float32")
mask = rng.integers(0, 2, size=(6, 5)).astype("float32")


def by_hand(logits, labels, mask):
    total, pairs = 0.0, 0
    for i in range(6):
        for j in range(5):
            if mask[i, j]:
                p = 1 / (1 + math.exp(-float(logits[i, j])))
                total -= math.log(p if labels[i, j] else 1 - p)
                pairs += 1
    return total / pairs


def test_equals_an_independent_computation():
    _, loss = masked_cross_entropy(ops, logits, labels, mask)
    assert math.isclose(loss, by_hand(logits, labels, mask), rel_tol=1e-5)


def test_gradient_equals_finite_differences():
    gradient, _ = masked_cross_entropy(ops, logits, labels, mask)
    for i in range(6):
        for j in range(5):
            up, down = logits.astype("float64"), logits.astype("float64")
            up[i, j] += 1e-4
            down[i, j] -= 1e-4
            numeric = (by_hand(up, labels, mask) - by_hand(down, labels, mask)) / 2e-4
            assert math.isclose(gradient[i, j], numeric, rel_tol=1e-3, abs_tol=1e-6)


def test_pairs_outside_the_mask_do_not_count():
    other = numpy.where(mask, logits, 99.0).astype("float32")
    gradient, loss = masked_cross_entropy(ops, logits, labels, mask)
    gradient_2, loss_2 = masked_cross_entropy(ops, other, 1 - labels * mask, mask * 0)
    assert loss_2 == 0 and not gradient_2.any()
    _, loss_3 = masked_cross_entropy(ops, other, labels, mask)
    assert math.isclose(loss, loss_3, rel_tol=1e-6)
    assert not gradient[mask == 0].any()


def test_extreme_logits_stay_finite():
    extreme = numpy.full((1, 2), 1000.0, dtype="float32")
    gradient, loss = masked_cross_entropy(
        ops, extreme, numpy.array([[0.0, 1.0]]), numpy.ones((1, 2))
    )
    assert loss == 500.0
    assert numpy.isfinite(gradient).all()


known = numpy.maximum(labels, rng.integers(0, 2, size=(6, 5))).astype("float32")


def softmax_by_hand(logits, labels, known):
    total = 0.0
    for i in range(6):
        for j in range(5):
            if labels[i, j]:
                others = [logits[i, k] for k in range(5) if not known[i, k]]
                among = math.exp(logits[i, j]) + sum(map(math.exp, others))
                total -= logits[i, j] - math.log(among)
    return total / labels.sum()


def test_softmax_equals_an_independent_computation():
    _, loss = softmax_cross_entropy(ops, logits, labels, known)
    assert math.isclose(loss, softmax_by_hand(logits, labels, known), rel_tol=1e-5)


def test_softmax_gradient_equals_finite_differences():
    gradient, _ = softmax_cross_entropy(ops, logits, labels, known)
    for i in range(6):
        for j in range(5):
            up, down = logits.astype("float64"), logits.astype("float64")
            up[i, j] += 1e-4
            down[i, j] -= 1e-4
            above = softmax_by_hand(up, labels, known)
            numeric = (above - softmax_by_hand(down, labels, known)) / 2e-4
            assert math.isclose(gradient[i, j], numeric, rel_tol=1e-3, abs_tol=1e-6)


def test_softmax_without_others_or_positives_is_nothing():
    everything = numpy.ones_like(labels)
    gradient, loss = softmax_cross_entropy(ops, logits * 50, labels, everything)
    assert abs(loss) < 1e-6 and abs(gradient).max() < 1e-6
    gradient, loss = softmax_cross_entropy(ops, logits, labels * 0, labels * 0)
    assert loss == 0 and not gradient.any()
