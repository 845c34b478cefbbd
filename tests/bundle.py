"""Many designs of one stream in and one out as one: a single build simulates them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from amaranth.hdl import Value
from numpy.typing import NDArray

from nomul.hw.plan import Plan
from nomul.hw.unrolled import Unrolled
from nomul.hw.verilog import emit
from nomul.hw.widths import level_width
from nomul.sim.batch import Batch, build_batch
from nomul.sim.golden import evaluate_levels

__all__ = ["Bundle"]

CHOICE_BITS = 8
SILENCE = 200  # cycles, more than any stall or pipeline lasts


class Bundle:
    """The emitted Verilog of unrolled networks, one module each, and a word says which is meant."""

    def __init__(self, plans: list[Plan], folder: Path) -> None:
        assert len(plans) <= 1 << CHOICE_BITS
        self.hardware = [Unrolled(plan) for plan in plans]
        texts = [emit(made, f"net_{number}") for number, made in enumerate(self.hardware)]
        self.simulator = build_batch("\n".join([*texts, self._top(texts)]), folder)

    def wrong(self, number: int, levels: NDArray[np.int64], seed: int) -> list[int]:
        """Return the samples whose answers from one of the networks are not the golden model's."""
        network = self.hardware[number].plan.network
        answers = evaluate_levels(network, levels).reshape(len(levels), -1)
        width = len(Value.cast(self.hardware[number].o.payload)) // answers.shape[1]
        expected = _bits(answers, width)
        found = self._run(number, levels, seed)
        if not seed:
            taken = found.answer_cycles - found.input_cycles
            assert (taken == self.hardware[number].latency).all()
        bits = found.answers[:, : expected.shape[1]]
        return np.flatnonzero((bits != expected).any(axis=1)).tolist()

    def _run(self, number: int, levels: NDArray[np.int64], seed: int) -> Batch:
        network = self.hardware[number].plan.network
        bits = _bits(levels, level_width(network.input.n_levels))
        words = np.zeros((len(levels), self.simulator.input_width), np.int64)
        words[:, : bits.shape[1]] = bits
        words[:, -CHOICE_BITS:] = number >> np.arange(CHOICE_BITS) & 1
        return self.simulator.run(
            words,
            len(words),
            limit=SILENCE,
            n_values=self.simulator.answer_width,
            is_signed=False,
            seed=seed,
        )

    def _top(self, texts: list[str]) -> str:
        """The network of the word that is offered, or of the last one, has the streams."""
        widths = [
            (len(Value.cast(made.i.payload)), len(Value.cast(made.o.payload)))
            for made in self.hardware
        ]
        into, out = (max(width[end] for width in widths) for end in (0, 1))
        n = len(widths)
        lines = [
            f"module top(input clk, input rst, input [{into + CHOICE_BITS - 1}:0] i__payload,",
            f"  input i__valid, output i__ready, output [{out - 1}:0] o__payload,",
            "  output o__valid, input o__ready);",
            f"reg [{CHOICE_BITS - 1}:0] last;",
            f"wire [{CHOICE_BITS - 1}:0] chosen = i__valid ? i__payload[{into} +: {CHOICE_BITS}] "
            ": last;",
            "always @(posedge clk) last <= rst ? 0 : chosen;",
            f"wire [{n - 1}:0] ready, valid;",
            f"wire [{n * out - 1}:0] payload;",
            "assign i__ready = ready[chosen], o__valid = valid[chosen];",
            f"assign o__payload = payload[chosen * {out} +: {out}];",
        ]
        for number, ((width_in, width_out), text) in enumerate(zip(widths, texts, strict=True)):
            place = number * out
            clocked = ".clk(clk), .rst(rst), " if "input clk" in text else ""
            lines.append(
                f"net_{number} the_{number}({clocked}.i__payload(i__payload[{width_in - 1}:0]), "
                f".i__valid(i__valid && chosen == {number}), .i__ready(ready[{number}]), "
                f".o__payload(payload[{place + width_out - 1}:{place}]), "
                f".o__valid(valid[{number}]), .o__ready(o__ready && chosen == {number}));"
            )
            if width_out < out:
                lines.append(f"assign payload[{place + out - 1}:{place + width_out}] = 0;")
        return "\n".join([*lines, "endmodule", ""])


def _bits(values: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return the bits of each row, the first value's least significant one first."""
    return (values[:, :, None] >> np.arange(width) & 1).reshape(len(values), -1)
