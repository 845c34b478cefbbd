"""What a plan is made of, counted; :mod:`nomul.hw.estimate` prices the counts for a device."""

from __future__ import annotations

from collections import defaultdict

from nomul.hw.area_model import is_chain, node_area
from nomul.hw.graph import Choice, Complement, Constant, Count, Greater, Input, Sum, Table, operands
from nomul.hw.plan import Plan
from nomul.hw.widths import level_width

__all__ = ["KINDS", "count_parts"]

KINDS = (
    "link",  # the serial link: one
    "input_bits",  # bits of a sample, which the link buffers
    "table_luts",  # LUTs of tables and complements
    "gate_luts",  # LUTs of adders made of gates
    "chain_bits",  # bits of adders on carry chains
    "chains",  # those adders
    "comparison_luts",  # LUTs of comparisons with thresholds
    "arg_max_bits",  # bits that the arg-max compares and passes on
    "waiting_bits",  # bits of registers with no logic of their own before them
    "register_bits",  # bits of all registers of the datapath
)


def count_parts(plan: Plan) -> dict[str, float]:
    """Return how many of each of :data:`KINDS` there are in ``plan``."""
    network = plan.network
    parts: defaultdict[str, float] = defaultdict(float)
    parts["link"] = 1
    parts["input_bits"] = network.n_inputs * level_width(network.input.n_levels)
    for number, node in enumerate(plan.graph.nodes):
        area = node_area(plan.graph, number, plan.device.target)
        match node:
            case Table() | Complement():
                parts["table_luts"] += area
            case Sum():
                on_chain = is_chain(plan.graph, node, plan.device.target)
                parts["chain_bits" if on_chain else "gate_luts"] += area
                parts["chains"] += on_chain
            case Count():
                parts["comparison_luts"] += area
            case Greater() | Choice():
                parts["arg_max_bits"] += area
            case Constant() | Input():
                pass
            case _:
                parts["chain_bits"] += area
    _count_registers(plan, parts)
    return {kind: float(parts[kind]) for kind in KINDS}


def _count_registers(plan: Plan, parts: defaultdict[str, float]) -> None:
    """Count registers: one behind a node's logic is free, unless its stage reads the node too."""
    graph, schedule = plan.graph, plan.schedule
    read_at_once = {
        operand
        for number, node in enumerate(graph.nodes)
        for operand in operands(node)
        if schedule.stages[operand] == schedule.stages[number]
    }
    for number, n_held in enumerate(schedule.held_stages(graph)):
        bits = graph.width(number)
        parts["register_bits"] += n_held * bits
        waits = isinstance(graph.nodes[number], Input) or number in read_at_once
        parts["waiting_bits"] += max(0, n_held - (not waits)) * bits
