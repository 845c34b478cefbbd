"""A mapped netlist as one side of the formal proof: LUTs, carries and flip-flops."""

from __future__ import annotations

from collections.abc import Mapping

from nomul.sim.cells import FlipFlop, Lookup, model
from nomul.verify.gates import Gates, inverted
from nomul.verify.module import Bit, Logic, Module, Part

__all__ = ["Mapped"]


class Mapped:
    """A netlist; :class:`nomul.verify.words.Words` has the same members.

    Raises
    ------
    CheckFailed
        If a register has another clock than the rising edge of ``clk``.
    UserError
        If it holds a cell that is not known.

    Attributes
    ----------
    starts
        What each register holds before the first clock edge, by the net that it drives.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._lookups: list[Lookup] = []
        self._flip_flops: list[FlipFlop] = []
        new_nets = module.new_nets()
        for kind, parameters, ports in module.cells():
            nets = {port: bits[0] for port, bits in ports.items() if bits}
            for cell in model(kind, parameters, nets, new_nets.__next__):
                if isinstance(cell, FlipFlop):
                    module.check_clock(ports.get("C") or ports.get("CLK", ()))
                    self._flip_flops.append(cell)
                else:
                    self._lookups.append(cell)
        self.starts = {register.q: register.start for register in self._flip_flops}

    def build(
        self, gates: Gates, inputs: Mapping[Bit, int], held: Mapping[int, int]
    ) -> tuple[Logic, dict[int, int]]:
        """Return the logic, and what each register takes next, by the net that it drives.

        Parameters
        ----------
        inputs
            The literals of the input ports.
        held
            Those of what the registers hold.
        """
        known = {net: inputs[bit] for bit, net in self.module.ports("input").items()}
        logic = Logic(gates, [_part(gates, cell) for cell in self._lookups], known | dict(held))
        return logic, {
            register.q: _following(gates, logic, register) for register in self._flip_flops
        }


def _part(gates: Gates, cell: Lookup) -> Part:
    return Part(cell.inputs, (cell.output,), lambda inputs: [gates.gate(inputs, cell.table)])


def _following(gates: Gates, logic: Logic, register: FlipFlop) -> int:
    """Return what a flip-flop takes at a clock edge."""
    enable, clear, preset = map(logic.literal, (register.enable, register.clear, register.preset))
    taken = gates.or_(gates.and_(logic.literal(register.d), inverted(clear)), preset)
    if register.overrides:
        enable = gates.or_(enable, gates.or_(clear, preset))
    return gates.choose(enable, taken, logic.literal(register.q))
