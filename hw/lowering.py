"""From a network to a graph in which every neuron has its own tables, adders and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nomul.hw.area_model import graph_area
from nomul.hw.argmax import arg_max
from nomul.hw.chain import unrolled_chain
from nomul.hw.graph import Builder, Graph
from nomul.hw.sums import accumulators
from nomul.hw.targets import Target
from nomul.hw.terms import layer_terms
from nomul.hw.truth_tables import BITS_MAX, lookup_neurons, truth_table, used_sources
from nomul.hw.widths import accumulator_width, level_width
from nomul.network import Dense, Lookup, Network, UserError
from nomul.network.errors import unknown_name
from nomul.network.layers import layer_name

__all__ = ["METHODS", "LayerChoice", "Lowering", "lower"]

METHODS = {
    "plain": "a product for each weight, added up by each neuron for itself",
    "grouped": "sums of a few level bits looked up, then added up by each neuron for itself",
    "shared": "parts that several neurons have in common added once, the rest as if grouped",
    "relative": "sums as their difference from another neuron's, and then as if shared",
    "lookup": "each neuron one table of its level bits",
}


@dataclass(frozen=True)
class LayerChoice:
    """How a layer is lowered.

    Attributes
    ----------
    layer
        Its name, such as ``layers.0``.
    method
        One of :data:`METHODS`.
    areas
        Expected area by each method that applies, in the target's units.
    """

    layer: str
    method: str
    areas: Mapping[str, float]


@dataclass(frozen=True)
class Lowering:
    """A network's graph and how it was chosen."""

    graph: Graph
    choices: tuple[LayerChoice, ...]


def lower(network: Network, target: Target, forced: Mapping[str, str] | None = None) -> Lowering:
    """Return the cheapest graph of ``network`` for ``target``.

    The graph's inputs are the network's levels. Its outputs are the class, or all levels or
    accumulators.

    Parameters
    ----------
    forced
        Methods by layer name, in place of the cheapest.

    Raises
    ------
    UserError
        If the network is no chain of dense and lookup layers, or a forced method does not apply.
    """
    chain = unrolled_chain(network)
    forced = dict(forced or {})
    names = [layer_name(number) for number in range(len(chain))]
    for name in forced:
        if name not in names:
            raise UserError(unknown_name("layer", name, names))
    builder = Builder()
    numbers = [builder.input(source, network.input.n_levels) for source in range(network.n_inputs)]
    choices = []
    n_levels = network.input.n_levels
    for name, layer in zip(names, chain, strict=True):
        aligned = network.output.kind == "class" and layer is chain[-1]
        choice = _choose(layer, name, len(numbers), n_levels, target, aligned, forced.get(name))
        choices.append(choice)
        numbers = _neurons(builder, layer, numbers, n_levels, name, target, aligned, choice.method)
        n_levels = layer.n_levels or 0
    if network.output.kind == "class":
        numbers = [arg_max(builder, numbers)]
    return Lowering(builder.graph(numbers), tuple(choices))


def _choose(
    layer: Dense | Lookup,
    name: str,
    n_inputs: int,
    n_levels: int,
    target: Target,
    aligned: bool,
    forced: str | None,
) -> LayerChoice:
    """Lower the layer alone by every method that applies, and compare."""
    if forced is not None and forced not in METHODS:
        raise UserError(unknown_name("method", forced, METHODS))
    areas = {}
    for method in METHODS:
        builder = Builder()
        levels = [builder.input(source, n_levels) for source in range(n_inputs)]
        if _obstacle(layer, levels, builder, method) is None:
            numbers = _neurons(builder, layer, levels, n_levels, name, target, aligned, method)
            areas[method] = graph_area(builder.graph(numbers), target)
        elif method == forced:
            obstacle = _obstacle(layer, levels, builder, method)
            applicable = [
                other for other in METHODS if _obstacle(layer, levels, builder, other) is None
            ]
            raise UserError(
                f"{name} cannot be lowered as {forced!r}: {obstacle}; "
                f"{', '.join(applicable)} can be forced."
            )
    return LayerChoice(name, forced or min(areas, key=areas.__getitem__), areas)


def _obstacle(
    layer: Dense | Lookup, levels: Sequence[int], builder: Builder, method: str
) -> str | None:
    """Say why a method does not apply to a layer; None if it does."""
    if isinstance(layer, Lookup):
        return None if method == "lookup" else "its neurons are tables, not sums"
    if method != "lookup":
        return None
    if layer.thresholds is None:
        return "it ends in accumulators, and a table holds levels"
    most = max(
        sum(builder.width(levels[source]) for source in used_sources(layer, neuron))
        for neuron in range(layer.n_outputs)
    )
    if most > BITS_MAX:
        return f"a neuron of it has {most} level bits, and a table at most {BITS_MAX}"
    return None


def _neurons(
    builder: Builder,
    layer: Dense | Lookup,
    levels: Sequence[int],
    n_levels: int,
    name: str,
    target: Target,
    aligned: bool,
    method: str,
) -> list[int]:
    """Return the nodes of a layer's levels, or of its accumulators."""
    label = name.replace("layers.", "layer_")
    if isinstance(layer, Lookup):
        return lookup_neurons(builder, layer, levels, level_width(n_levels), label)
    looked_up: dict[int, int] = {}
    if layer.thresholds is not None and method != "plain":
        bits_max = BITS_MAX if method == "lookup" else target.table_bits
        for neuron in range(layer.n_outputs):
            node = truth_table(builder, layer, neuron, levels, bits_max, f"{label}_neuron_{neuron}")
            if node is not None:
                looked_up[neuron] = node
    summed = [neuron for neuron in range(layer.n_outputs) if neuron not in looked_up]
    sums = accumulators(
        builder,
        layer_terms(layer, summed, target.table_bits),
        levels,
        [f"{label}_neuron_{neuron}" for neuron in summed],
        target,
        grouped=method != "plain",
        shared=method in ("shared", "relative"),
        relative=method == "relative",
        aligned=aligned,
    )
    nodes = dict(looked_up)
    for neuron, total in zip(summed, sums, strict=True):
        neuron_name = f"{label}_neuron_{neuron}"
        if layer.thresholds is not None:
            bounds = [int(bound) - total.offset for bound in layer.neuron_thresholds()[neuron]]
            nodes[neuron] = builder.count(total.number, bounds, f"{neuron_name}_level")
        elif aligned:
            nodes[neuron] = total.number
        else:
            width = accumulator_width(layer)
            nodes[neuron] = builder.offset(total.number, total.offset, width, neuron_name)
    return [nodes[neuron] for neuron in range(layer.n_outputs)]
