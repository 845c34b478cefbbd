"""Networks of look-up tables trained by torchlogix, in Verilog.

Layers of LUTs of four inputs, the first with wiring that is trained too, then one count of ones
for each class and an arg-max. Its inputs are thermometer bits; they are made from the levels
inside the design, so the encoder is counted. torchlogix writes Verilog for LUTs of two inputs
alone, so the LUTs are written here; the model's own sums are compared with theirs on all samples.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.compare.design import Design, added, arg_max
from nomul.network import CheckFailed

__all__ = ["GateNetwork", "GateSettings", "choose_gates", "gate_design", "train_gates"]

Levels = NDArray[np.int64]

LUT_RANK = 4


@dataclass(frozen=True)
class GateSettings:
    """Size and training of a network of LUTs.

    Attributes
    ----------
    sizes
        LUTs of each layer, the last a multiple of the classes.
    tau
        What the counts are divided by before the softmax.
    candidates
        Inputs that each wire of the first layer is chosen from.
    """

    sizes: tuple[int, ...]
    tau: float = 3.0
    learning_rate: float = 0.05
    steps: int = 1500
    batch_size: int = 128
    candidates: int = 8


@dataclass(frozen=True, eq=False)
class GateNetwork:
    """Layers of LUTs: what each is wired to, and its table.

    Attributes
    ----------
    wires
        One array for each layer, shape (4, LUTs): numbers of bits of the layer before.
    tables
        One array for each layer, shape (16, LUTs): entry ``sum(bit[k] << k)``.
    """

    wires: tuple[NDArray[np.int64], ...]
    tables: tuple[NDArray[np.bool_], ...]
    n_features: int
    n_levels: int
    n_classes: int

    def sums(self, levels: Levels) -> NDArray[np.int64]:
        """Return the ones of each class, shape (samples, classes)."""
        bits = _thermometer(levels, self.n_levels).astype(np.int64)
        for wires, tables in zip(self.wires, self.tables, strict=True):
            entry = sum(bits[:, wires[k]] << k for k in range(LUT_RANK))
            bits = tables[entry, np.arange(tables.shape[1])].astype(np.int64)
        sums: NDArray[np.int64] = bits.reshape(len(levels), self.n_classes, -1).sum(axis=2)
        return sums

    def classes(self, levels: Levels) -> NDArray[np.int64]:
        """Return the class of each sample, the first of equals."""
        winners: NDArray[np.int64] = self.sums(levels).argmax(axis=1)
        return winners


TAUS = (2.0, 4.0)
"""What ``tau`` is chosen from, by accuracy on a validation part."""


def choose_gates(
    levels: Levels, classes: Levels, sizes: tuple[int, ...], *, n_levels: int, seed: int = 0
) -> tuple[GateSettings, GateNetwork]:
    """Return the settings that are best on a quarter of the samples, and a network of all."""
    order = np.random.default_rng(seed).permutation(len(levels))
    held_out, rest = order[: len(levels) // 4], order[len(levels) // 4 :]

    def right(settings: GateSettings) -> float:
        network = train_gates(levels[rest], classes[rest], settings, n_levels=n_levels)
        return float((network.classes(levels[held_out]) == classes[held_out]).mean())

    best = max((GateSettings(sizes, tau) for tau in TAUS), key=right)
    return best, train_gates(levels, classes, best, n_levels=n_levels)


def train_gates(
    levels: Levels, classes: Levels, settings: GateSettings, *, n_levels: int, seed: int = 0
) -> GateNetwork:
    """Train a network of LUTs with torchlogix.

    Raises
    ------
    CheckFailed
        If the tables do not give the sums that the model gives.
    """
    n_classes = int(classes.max()) + 1
    torch.manual_seed(seed)
    bits = torch.from_numpy(_thermometer(levels, n_levels)).float()
    targets = torch.from_numpy(classes)
    model = _model(bits.shape[1], settings, n_classes)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        chosen = torch.randint(len(bits), (settings.batch_size,))
        loss = nn.functional.cross_entropy(model(bits[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.eval()
    network = _tables(model, levels.shape[1], n_levels, n_classes)
    with torch.no_grad():
        sums = (model(bits) * settings.tau).round().numpy().astype(np.int64)
    if (sums != network.sums(levels)).any():
        raise CheckFailed("The tables read from torchlogix do not give its model's sums.")
    return network


def _model(n_bits: int, settings: GateSettings, n_classes: int) -> nn.Sequential:
    layers, group_sum = _torchlogix()
    gates: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(
        zip((n_bits, *settings.sizes), settings.sizes, strict=False)
    ):
        learned = {
            "connections": "learnable",
            "connections_kwargs": {
                # torchlogix wants as many inputs as a LUT has candidates.
                "num_candidates": min(settings.candidates, n_bits // LUT_RANK)
            },
        }
        wiring: dict[str, Any] = learned if number == 0 else {"connections": "fixed"}
        gates.append(layers(n_in, n_out, lut_rank=LUT_RANK, parametrization="light", **wiring))
    return nn.Sequential(*gates, group_sum(n_classes, tau=settings.tau))


def _torchlogix() -> tuple[Any, Any]:
    """Return torchlogix' layer and its count of ones."""
    if sys.version_info < (3, 12):
        # torchlogix 0.2.2 imports a module, of its code generators, that Python 3.11 cannot parse.
        unused = types.ModuleType("torchlogix.circuit")
        unused.Circuit = None  # type: ignore[attr-defined]
        sys.modules.setdefault("torchlogix.circuit", unused)
    from torchlogix.layers import GroupSum, LogicDense

    return LogicDense, GroupSum


def _tables(model: nn.Sequential, n_features: int, n_levels: int, n_classes: int) -> GateNetwork:
    """Read the wiring, and the tables by trying all inputs."""
    entries = (np.arange(1 << LUT_RANK)[:, None] >> np.arange(LUT_RANK)) & 1
    wires, tables = [], []
    for layer in list(model)[:-1]:
        gates: Any = layer
        connections = gates.connections
        learned = hasattr(connections, "resolve_connections")
        indices = connections.resolve_connections() if learned else connections.indices
        wires.append(indices.numpy())
        tried = torch.from_numpy(entries).float()[:, :, None].expand(-1, -1, gates.out_dim)
        with torch.no_grad():
            found = gates.parametrization.forward(
                tried, gates.weight, False, contraction="n,bn->bn"
            )
        tables.append(found.numpy() > 0.5)
    return GateNetwork(tuple(wires), tuple(tables), n_features, n_levels, n_classes)


def _thermometer(levels: Levels, n_levels: int) -> NDArray[np.bool_]:
    """Return the bits ``level >= 1, 2, ...`` of every feature."""
    bits = levels[:, :, None] >= np.arange(1, n_levels)
    return bits.reshape(len(levels), -1)


def gate_design(network: GateNetwork, top: str = "gates") -> Design:
    """Return the network as combinational Verilog, its thermometer encoder in it."""
    level_width = max(1, (network.n_levels - 1).bit_length())
    class_width = max(1, (network.n_classes - 1).bit_length())
    n_thresholds = network.n_levels - 1
    lines = [
        f"module {top}(input [{level_width * network.n_features - 1}:0] i, "
        f"output [{class_width - 1}:0] o);"
    ]
    for number in range(n_thresholds * network.n_features):
        feature, threshold = divmod(number, n_thresholds)
        level = f"i[{level_width * feature} +: {level_width}]"
        lines.append(f"wire bit_0_{number} = {level} >= {level_width}'d{threshold + 1};")
    for depth, (wires, tables) in enumerate(zip(network.wires, network.tables, strict=True)):
        for number in range(wires.shape[1]):
            table = "".join(str(int(entry)) for entry in tables[::-1, number])
            address = ", ".join(f"bit_{depth}_{wire}" for wire in wires[::-1, number])
            # A shift of a constant by an address is a table: Verilog indexes no constant.
            lines.append(f"wire [15:0] table_{depth + 1}_{number} = 16'b{table} >> {{{address}}};")
            lines.append(f"wire bit_{depth + 1}_{number} = table_{depth + 1}_{number}[0];")
    last = len(network.wires)
    each = network.wires[-1].shape[1] // network.n_classes
    values = []
    for number in range(network.n_classes):
        bits = [(f"bit_{last}_{each * number + k}", 1) for k in range(each)]
        net, greatest = added(f"sum_{number}", bits, lines)
        width = greatest.bit_length()
        lines.append(f"wire signed [{width}:0] class_{number} = {{1'b0, {net}}};")
        values.append((f"class_{number}", width + 1))
    body, winner = arg_max(values, class_width)
    lines += [*body, f"assign o = {winner};", "endmodule", ""]
    return Design("\n".join(lines), top, level_width)
