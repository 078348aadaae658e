"""Products of eight-bit integers, which recent CPUs form several times as fast as those of floats.

Each row of activations is rounded with a scale of its own (as in LLM.int8(), Dettmers et al. 2022,
§2.2), so that what comes of a row does not depend on the rows beside it.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

# An even number of steps, twice the 63 of a packed ranker: where nothing shrinks, its weights
# are not rounded again.
WEIGHT_LEVELS = 126
ACTIVATION_LEVELS = 127
LEAST_GELU = -0.17
# Divides rows that are all zeros.
TINY = 1e-12


@cache
def has_int8_products() -> bool:
    """Whether the CPU has VNNI, as far as this torch can tell, and its libraries use it: others
    add up in 16 bits, which are too few for the largest products."""
    if not getattr(torch.cpu, "_is_vnni_supported", bool)():
        return False
    rows = torch.full((16, 384), ACTIVATION_LEVELS, dtype=torch.int8)
    weights = torch.full((16, 384), WEIGHT_LEVELS, dtype=torch.int8)
    expected = 384 * ACTIVATION_LEVELS * WEIGHT_LEVELS
    return bool((torch._int_mm(rows, weights.t()) == expected).all())


def round_rows(rows: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """int8 [rows, columns] and the scale of each row, float32 [rows, 1]."""
    scales = rows.abs().amax(dim=1, keepdim=True).clamp_min_(TINY)
    scales /= levels
    return (rows * scales.reciprocal()).round_().to(torch.int8), scales


@dataclass(frozen=True)
class Linear:
    """x W + b. weights: [nI, nO]."""

    weights: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weights)


@dataclass(frozen=True)
class Int8Linear:
    """x W + b with W in eight bits. weights: int8 [nI, nO]; scales, bias: float32 [nO];
    shrink: float32 [nI], what each input is multiplied with first."""

    weights: Tensor
    scales: Tensor
    bias: Tensor
    shrink: Tensor | None

    @classmethod
    def of(cls, linear: Linear, peaks: Tensor | None = None) -> "Int8Linear":
        """peaks: [nI] the largest inputs to expect. Where some are much larger than others, all
        would be rounded to their steps: they lend a part of their size to the weights
        (SmoothQuant, Xiao et al. 2023, eq. 4)."""
        weights, shrink = linear.weights, None
        if peaks is not None:
            grow = (peaks / weights.abs().amax(dim=1).clamp_min(TINY)).sqrt()
            grow = grow.clamp_min(TINY)
            weights, shrink = weights * grow[:, None], grow.reciprocal()
        rounded, scales = round_rows(weights.t(), WEIGHT_LEVELS)
        # The kernel is fast where the inputs of one output lie side by side.
        return cls(rounded.contiguous().t(), scales[:, 0], linear.bias, shrink)

    def __call__(self, x: Tensor) -> Tensor:
        if self.shrink is not None:
            x = x * self.shrink
        rounded, scales = round_rows(x, ACTIVATION_LEVELS)
        sums = torch._int_mm(rounded, self.weights)
        return torch.addcmul(self.bias, sums * self.scales, scales)


@dataclass(frozen=True)
class Int8LinearOfGelu:
    """x W + b with W in eight bits, where x is what GELU gives: the steps lie between its least
    value and the row's largest, so that they are half as wide.

    offset: float32 [nO], what 128 steps of every input add up to.
    """

    weights: Tensor
    scales: Tensor
    offset: Tensor
    bias: Tensor

    @classmethod
    def of(cls, linear: Linear) -> "Int8LinearOfGelu":
        rounded, scales = round_rows(linear.weights.t(), WEIGHT_LEVELS)
        sums = rounded.sum(dim=1) * scales[:, 0]
        bias = linear.bias + LEAST_GELU * sums
        return cls(rounded.contiguous().t(), scales[:, 0], 128 * sums, bias)

    def __call__(self, x: Tensor) -> Tensor:
        scales = (x.amax(dim=1, keepdim=True) - LEAST_GELU) / 255
        inverse = scales.reciprocal()
        steps = torch.addcmul(-LEAST_GELU * inverse - 128, x, inverse)
        sums = torch._int_mm(steps.round_().to(torch.int8), self.weights)
        return torch.addcmul(self.bias, (sums * self.scales).add_(self.offset), scales)
