"""What a technology's logic is made of, as far as the choice between lowerings needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from nomul.network.errors import UserError, unknown_name

__all__ = ["TARGETS", "Target", "find_target"]


@dataclass(frozen=True)
class Target:
    """A technology.

    The units of area are a LUT and its share of a carry chain; for gates, a two-input NAND.

    Attributes
    ----------
    name
        What commands call it.
    table_bits
        Inputs of one LUT: tables of as many address bits cost one LUT per bit of their entries.
    table_luts
        Area of one bit of a table of ``table_bits + 1``, ``+ 2``, ... address bits; each further
        bit doubles it.
    gate_bits
        Adders with an operand of at most so many bits are gates, not a carry chain.
    chain_start
        Area of a carry chain beside its bits.
    kept_bits
        Adders of which at least so many bits meet stay as they are; shorter ones synthesis may
        join, which pays where it makes tables of them.
    full_chains
        Whether a chain's bit costs a LUT where only one of the two numbers has one, too.
    """

    name: str
    table_bits: int
    table_luts: tuple[float, ...]
    gate_bits: int
    chain_start: float
    kept_bits: int = 4
    full_chains: bool = True
    area_of_one: float = 1.0

    def table_area(self, n_bits: int) -> float:
        """Area of one bit of a table of ``n_bits`` address bits."""
        if n_bits <= 1:
            return 0.0
        if n_bits <= self.table_bits:
            return self.area_of_one
        excess = n_bits - self.table_bits - 1
        last = len(self.table_luts) - 1
        luts = self.table_luts[min(excess, last)] * (1 << max(0, excess - last))
        return self.area_of_one * luts


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        # 4-input LUTs, carry chains of one bit a logic cell, which claim a tile of eight.
        Target("ice40", 4, (2, 5, 10, 21), gate_bits=1, chain_start=0.3),
        # 4-input LUTs that multiplexers join up to seven inputs; two bits of a chain in a slice.
        Target("ecp5", 4, (2, 4, 8), gate_bits=3, chain_start=1.0),
        # 6-input LUTs that multiplexers join up to eight inputs.
        Target("xilinx", 6, (2, 4), gate_bits=0, chain_start=0.0, full_chains=False),
        # Two-input NAND equivalents of standard cells; no carry chains.
        Target("asic", 4, (2, 4, 8), gate_bits=64, chain_start=0.0, area_of_one=5.0),
    )
}


def find_target(name: str) -> Target:
    """Return the target called ``name``.

    Raises
    ------
    UserError
        If there is none.
    """
    if name not in TARGETS:
        raise UserError(unknown_name("target", name, TARGETS))
    return TARGETS[name]
