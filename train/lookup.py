"""Lookup neurons: learned truth tables over a few level bits, and the sum of them for each class.

A neuron of fan-in k costs an FPGA one LUT of k inputs. Connections and tables are learned as in
Bacellar et al. 2024, "Differentiable Weightless Neural Networks" (DWN): forward everything is
0 or 1; backward a table counts as its multilinear extension, and a connection as the sum of all
bits that it could be, weighted by scores.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ClassSum", "Lookup", "level_bits"]

START_SCORE = 0.05
"""Greatest score at the start; the optimizer moves scores by about its learning rate a step."""

CONSTANT_SCORE = -1e9
"""Score at the start of a bit that is the same in all samples: it is never picked."""


def level_bits(level: Tensor, n_levels: int) -> Tensor:
    """Return the bits of levels in one row for each sample.

    Parameters
    ----------
    level
        Numbers 0 to ``n_levels`` - 1, any dtype, shape (samples, inputs).

    Returns
    -------
    Tensor
        0 or 1, of the same dtype, shape (samples, inputs · width), where ``width`` is what
        ``n_levels`` - 1 takes: bit b of input i is number i · width + b, b = 0 the least
        significant.
    """
    width = (n_levels - 1).bit_length()
    if width == 1:
        return level
    places = torch.arange(width, device=level.device)
    bits = (level.long().unsqueeze(-1) >> places) & 1
    return bits.flatten(1).to(level.dtype)


class Lookup(nn.Module):
    """Neurons that are truth tables of ``fan_in`` level bits each.

    Parameters
    ----------
    levels_in
        L of what comes: level k stands for k / (L - 1).

    Attributes
    ----------
    score
        float32, shape (neurons · fan-in, level bits): each connection takes the bit of the
        greatest score in its row; row ``neuron · fan_in + j`` is bit j of the neuron's address.
    entry
        float32, -1 to 1, shape (neurons, 2 ** fan-in): the neuron gives 1 where that of its
        address is positive.

    Shape
    -----
    (samples, inputs) to (samples, neurons), 0 or 1.
    """

    levels_out = 2

    def __init__(self, n_inputs: int, n_neurons: int, fan_in: int = 4, levels_in: int = 2) -> None:
        super().__init__()
        self.n_neurons = n_neurons
        self.fan_in = fan_in
        self.levels_in = levels_in
        n_bits = n_inputs * (levels_in - 1).bit_length()
        self.score = nn.Parameter(START_SCORE * torch.rand(n_neurons * fan_in, n_bits))
        self.entry = nn.Parameter(2 * torch.rand(n_neurons, 2**fan_in) - 1)

    def bits(self, x: Tensor) -> Tensor:
        """Return the level bits of the inputs, float32, shape (samples, level bits)."""
        if self.levels_in == 2:
            return x
        return level_bits(torch.round(x.detach() * (self.levels_in - 1)), self.levels_in)

    def forward(self, x: Tensor) -> Tensor:
        learns = self.training and torch.is_grad_enabled()
        score = self.score if learns else self.score.detach()
        levels: Tensor = _TruthTables.apply(  # type: ignore[no-untyped-call]
            self.bits(x), score, self.entry
        )
        return levels

    def address_bits(self) -> Tensor:
        """Return the number of each connection's level bit, int64, shape (neurons, fan-in)."""
        return self.score.detach().argmax(dim=1).view(self.n_neurons, self.fan_in)

    def tables(self) -> Tensor:
        """Return the neurons' truth tables, bool, shape (neurons, 2 ** fan-in)."""
        return self.entry.detach() > 0

    @torch.no_grad()
    def avoid_constants(self, x: Tensor) -> None:
        """Begin without connections to bits that are the same in all samples ``x``."""
        bits = self.bits(x)
        self.score[:, (bits == bits[:1]).all(dim=0)] = CONSTANT_SCORE

    def fix_connections(self) -> None:
        """Leave the scores as they are from now on; a step is then a good deal faster."""
        self.score.requires_grad_(False)
        self.score.grad = None

    @torch.no_grad()
    def keep_in_range(self) -> None:
        """Put entries back to what lies between -1 and 1, so that each can still change sides."""
        self.entry.clamp_(-1.0, 1.0)

    def extra_repr(self) -> str:
        return (
            f"bits={self.score.shape[1]}, neurons={self.n_neurons}, fan_in={self.fan_in}, "
            f"levels_in={self.levels_in}"
        )


class ClassSum(nn.Module):
    """How many of each class's neurons are 1, divided by a temperature.

    Neuron n belongs to class n modulo the number of classes.

    Parameters
    ----------
    temperature
        0: half the square root of a class's neurons, in which sums of random bits deviate.

    Attributes
    ----------
    member
        float32, shape (classes, inputs): 1 where the neuron belongs to the class, else 0.

    Shape
    -----
    (samples, inputs) to (samples, classes).
    """

    member: Tensor

    def __init__(self, n_inputs: int, n_classes: int, temperature: float = 0.0) -> None:
        super().__init__()
        self.temperature = temperature or math.sqrt(n_inputs / n_classes) / 2
        class_of = torch.arange(n_inputs) % n_classes
        self.register_buffer(
            "member", functional.one_hot(class_of, n_classes).t().float(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 cannot count beyond 256
            return functional.linear(x, self.member) / self.temperature

    def extra_repr(self) -> str:
        n_classes, n_inputs = self.member.shape
        return f"inputs={n_inputs}, classes={n_classes}, temperature={self.temperature:g}"


class _TruthTables(torch.autograd.Function):
    """Bits, scores and entries to the neurons' levels.

    Forward: bit j of a neuron's address is that of the greatest score, and the level is 1 where
    the entry at the address is positive.

    Backward, the level is taken for the multilinear extension of the entries t to real bits b,

        f(b) = sum over addresses a of t[a] · product over j of (b[j] if bit j of a else 1 - b[j])

    and b[j] for the sum over all bits x[i] of score[j, i] · (x[i] - 1/2). At bits of 0 and 1 the
    slope in b[j] is the difference of two entries, and that in t is 1 at the address.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, score: Tensor, entry: Tensor) -> Tensor:
        n_neurons, n_entries = entry.shape
        fan_in = n_entries.bit_length() - 1
        # Neurons first: what one connection gets of all samples lies together.
        by_bit = x.t().contiguous()
        chosen = score.argmax(dim=1)
        inputs = by_bit.index_select(0, chosen).view(n_neurons, fan_in, -1)
        place = (2 ** torch.arange(fan_in, device=x.device)).to(x.dtype)
        first = n_entries * torch.arange(n_neurons, device=x.device, dtype=torch.int32)
        address = (inputs * place[:, None]).sum(dim=1).to(torch.int32) + first[:, None]
        ctx.save_for_backward(by_bit, chosen, entry, address)
        ctx.learns = score.requires_grad
        ctx.is_short = torch.is_autocast_enabled(x.device.type)
        levels = (entry.flatten() > 0).to(x.dtype).index_select(0, address.flatten())
        return levels.view(address.shape).t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_bit, chosen, entry, address = ctx.saved_tensors
        gradient = gradients[0].t().contiguous()
        n_entries = entry.shape[1]
        fan_in = n_entries.bit_length() - 1
        of_entry = torch.zeros_like(entry).flatten()
        of_entry.index_add_(0, address.flatten(), gradient.flatten())
        of_x = of_score = None
        if ctx.needs_input_grad[0] or ctx.learns:
            of_inputs = gradient.new_empty(len(entry), fan_in, gradient.shape[1])
            numbers = torch.arange(n_entries, device=entry.device)
            for j in range(fan_in):
                slope = entry[:, numbers | 1 << j] - entry[:, numbers & ~(1 << j)]
                found = slope.flatten().index_select(0, address.flatten()).view(address.shape)
                torch.mul(found, gradient, out=of_inputs[:, j])
            of_inputs = of_inputs.flatten(0, 1)
            if ctx.learns:
                halves = (by_bit - 0.5).t()  # exact in bfloat16 too
                if ctx.is_short:
                    of_score = (of_inputs.bfloat16() @ halves.bfloat16()).float()
                else:
                    of_score = of_inputs @ halves
            if ctx.needs_input_grad[0]:
                of_x = torch.zeros_like(by_bit).index_add_(0, chosen, of_inputs).t()
        return of_x, of_score, of_entry.view_as(entry)
