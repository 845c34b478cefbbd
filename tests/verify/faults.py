"""A small network that is verified, and faults to plant."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from nomul.boards.catalog import find_board
from nomul.hw.graph import Count, Graph, Table
from nomul.network import Network
from nomul.verify.ladder import Subject
from tests.networks import random_network

__all__ = ["SMALL", "flip_outputs", "subject_of", "with_fault_in_graph"]

SMALL = random_network((3, 4, 3), (4, 3), output="accumulators")
"""Answers accumulators, so that every neuron can be seen."""


def subject_of(network: Network, home: Path = Path("absent"), **known: Any) -> Subject:
    return Subject(network, find_board("icebreaker"), False, home, **known)


def with_fault_in_graph(graph: Graph) -> tuple[Graph, str]:
    """Return a graph of which one neuron's levels are turned over, and the neuron's name."""
    for number, (node, name) in enumerate(zip(graph.nodes, graph.names, strict=True)):
        if not name.startswith("layer_0_neuron_") or "_sum_" in name:
            continue
        if isinstance(node, Count):
            changed: Any = Count(node.number, (0, *node.bounds[1:]))
        elif isinstance(node, Table):
            changed = Table(node.bits, tuple(reversed(node.entries)))
        else:
            continue
        nodes = (*graph.nodes[:number], changed, *graph.nodes[number + 1 :])
        return dataclasses.replace(graph, nodes=nodes), name
    raise AssertionError("the graph has a neuron with levels")


def flip_outputs(netlist: Path) -> None:
    """Turn over the table of a LUT whose output leaves the netlist, or feeds what does."""
    content = json.loads(netlist.read_text())
    module = content["modules"]["top"]
    wanted = set(module["ports"]["o__payload"]["bits"])
    cells = module["cells"].values()
    wanted |= {
        cell["connections"]["D"][0]
        for cell in cells
        if cell["type"].startswith("SB_DFF") and cell["connections"]["Q"][0] in wanted
    }
    lut = next(
        cell
        for cell in cells
        if cell["type"] == "SB_LUT4" and cell["connections"]["O"][0] in wanted
    )
    table = lut["parameters"]["LUT_INIT"]
    lut["parameters"]["LUT_INIT"] = table.translate(str.maketrans("01", "10"))
    netlist.write_text(json.dumps(content))
