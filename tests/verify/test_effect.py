from __future__ import annotations

from pathlib import Path

import numpy as np

from nomul.hw.plan import plan
from nomul.verify.effect import design_effects, graph_effects
from nomul.verify.mutants import graph_mutants
from nomul.verify.schemata import (
    SELECTED,
    design_faults,
    read_design,
    split_design,
    write_design,
)
from tests.networks import random_network

NETWORK = random_network((4, 3, 3), (3, 3), seed=5)
GRAPH = plan(NETWORK).graph
EVERY = np.stack(np.meshgrid(*[range(4)] * 4), axis=-1).reshape(-1, 4)


def test_a_graph_has_no_effect_on_itself() -> None:
    assert graph_effects(GRAPH, [GRAPH], 4, 10) == ["none"]


def test_what_is_said_of_a_broken_graph_is_what_all_samples_say() -> None:
    """All levels of two bits, those that do not exist included: a proof is about bits."""
    # No other kind leaves all numbers in their ranges: the evaluation does not wrap, hardware does.
    kinds = ("narrowed adder", "threshold off by one")
    mutants = [mutant for mutant in graph_mutants(GRAPH) if mutant.kind in kinds]
    broken = [mutant.make() for mutant in mutants]
    effects = graph_effects(GRAPH, broken, 4, 60)
    whole = GRAPH.evaluate(EVERY)
    for mutant, graph, effect in zip(mutants, broken, effects, strict=True):
        differs = (graph.evaluate(EVERY) != whole).any()
        assert isinstance(effect, str) != differs, mutant
        if isinstance(effect, str):
            assert effect == "none", mutant
        else:
            sample = effect[None]
            assert (graph.evaluate(sample) != GRAPH.evaluate(sample)).any(), mutant


DESIGN = """
module top(
    input clk, input [1:0] address, input [1:0] data, input write, input choice,
    output reg [1:0] kept, output reg late, output [1:0] read
);
    reg [1:0] memory [0:3];
    assign read = memory[address];
    wire unseen = choice ^ address[0];
    wire seen = choice ^ address[1];
    wire [1:0] written = write ? data : {unseen, unseen};
    always @(posedge clk) if (write) memory[address ^ {seen, 1'b0}] <= written;
    wire one = choice & write;
    wire both = one & choice;
    always @(posedge clk) late <= one;
    wire other = data[0] ^ data[1];
    always @(posedge clk) if (write) kept <= {both, choice ? read[0] : other};
endmodule
"""

NO_EFFECT = {
    # Written only where it is not chosen.
    "unseen": True,
    "seen": False,
    "written[0]": False,
    "both without choice": True,  # the other condition holds it
    "both without one": True,  # what takes it, takes it only where it makes no difference
    "one without choice": False,
    "one without write": False,
    "other": False,
    "kept[1] moves in each cycle": False,
    "kept[1] never moves": False,
    "kept[1], one register more": False,
}


def test_what_is_proved_of_a_design_is_what_reading_it_says(tmp_path: Path) -> None:
    module = read_design(DESIGN, tmp_path)
    found = {fault.place: fault for fault in design_faults(module, is_feed_forward=False)}
    faults = [found[place] for place in NO_EFFECT]
    write_design(module, faults, tmp_path)
    numbers = range(len(faults) + 1)
    effects = design_effects(split_design(tmp_path), SELECTED, numbers, 60)
    assert effects == [True, *NO_EFFECT.values()], "fault 0 is none"
