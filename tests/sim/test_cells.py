"""The models of cells against what yosys' own Verilog of them says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from nomul.sim.cells import FlipFlop, Lookup, UnknownCell, model


def settled(parts: list[Lookup | FlipFlop], values: Mapping[int, int]) -> dict[int, int]:
    """Return the nets' values; the parts come in an order in which each reads earlier ones."""
    found = dict(values)
    for part in parts:
        if isinstance(part, Lookup):
            address = sum(found[net] << place for place, net in enumerate(part.inputs))
            found[part.output] = part.table >> address & 1
    return found


@pytest.mark.parametrize("injects", [("NO", "NO"), ("YES", "NO"), ("NO", "YES")])
def test_two_bits_of_a_carry_chain_are_as_in_yosys_ccu2c_sim(injects: tuple[str, str]) -> None:
    tables = 0x96AA, 0x5F0C
    names = ["A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1", "CIN"]
    nets = {name: 2 + place for place, name in enumerate([*names, "S0", "S1", "COUT"])}
    parameters = {f"INIT{bit}": f"{tables[bit]:016b}" for bit in (0, 1)}
    parameters |= {f"INJECT1_{bit}": injects[bit] for bit in (0, 1)}
    parts = model("CCU2C", parameters, nets, itertools.count(100).__next__)
    for bits in itertools.product((0, 1), repeat=9):
        given = dict(zip(names, bits, strict=True))
        expected, carry = {}, given["CIN"]
        for bit, table in enumerate(tables):
            a, b, c, d = (given[f"{name}{bit}"] for name in "ABCD")
            lut4, lut2 = table >> (a + 2 * b + 4 * c + 8 * d) & 1, table >> (a + 2 * b) & 1
            gated_cin, gated_lut2 = (0, 0) if injects[bit] == "YES" else (carry, lut2)
            expected[f"S{bit}"] = lut4 ^ gated_cin
            carry = ((1 - lut4) & gated_lut2) | (lut4 & carry)
        expected["COUT"] = carry
        values = settled(parts, {0: 0, 1: 1} | {nets[name]: given[name] for name in names})
        assert {name: values[nets[name]] for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "first", "second", "chooses"),
    [
        ("PFUMX", "BLUT", "ALUT", "C0"),
        ("L6MUX21", "D0", "D1", "SD"),
    ],
)
def test_multiplexers_choose(kind: str, first: str, second: str, chooses: str) -> None:
    (part,) = model(kind, {}, {first: 2, second: 3, chooses: 4, "Z": 5}, int)
    for a, b, chosen in itertools.product((0, 1), repeat=3):
        values = settled([part], {0: 0, 2: a, 3: b, 4: chosen})
        assert values[5] == (b if chosen else a)


@pytest.mark.parametrize(
    ("kind", "pin_type", "written"),
    [
        ("SB_IO", "000001", None),
        ("SB_GB_IO", "000001", None),
        ("SB_IO", "011001", (0, 0, 1, 1)),
        ("SB_IO", "101001", (0, 0, 0, 1)),
    ],
)
def test_a_pad_is_read_or_written(
    kind: str, pin_type: str, written: tuple[int, ...] | None
) -> None:
    """Written is what the pin has where output and enable are 00, 01, 10 and 11."""
    nets = {"PACKAGE_PIN": 2, "D_OUT_0": 3, "OUTPUT_ENABLE": 4}
    if written is None:
        nets |= {"D_IN_0": 5, "GLOBAL_BUFFER_OUTPUT": 6}
    parts = model(kind, {"PIN_TYPE": pin_type}, nets, int)
    for pin, out, enable in itertools.product((0, 1), repeat=3):
        values = settled(parts, {0: 0, 1: 1, 2: pin, 3: out, 4: enable})
        if written is None:
            assert (values[5], values[6]) == (pin, pin)
        else:
            assert values[2] == written[2 * out + enable]


def test_a_global_buffer_gives_on_what_it_gets() -> None:
    nets = {"USER_SIGNAL_TO_GLOBAL_BUFFER": 2, "GLOBAL_BUFFER_OUTPUT": 3}
    parts = model("SB_GB", {}, nets, int)
    assert [settled(parts, {0: 0, 2: bit})[3] for bit in (0, 1)] == [0, 1]


def test_flip_flops_are_what_their_names_and_parameters_say() -> None:
    nets = {"D": 2, "Q": 3, "E": 4, "R": 5, "S": 6, "DI": 2, "CE": 4, "LSR": 7}

    def found(kind: str, **parameters: str) -> FlipFlop | Lookup:
        used = {name: net for name, net in nets.items() if kind != "SB_DFF" or name in "DQ"}
        return model(kind, parameters, used, itertools.count(100).__next__)[-1]

    assert found("SB_DFF") == FlipFlop(2, 3)
    ports = {"D": 2, "Q": 3, "E": 4, "R": 5}
    assert model("SB_DFFESR", {}, ports, int) == [FlipFlop(2, 3, enable=4, clear=5)]
    assert found("TRELLIS_FF", CEMUX="1 ", REGSET="RESET") == FlipFlop(
        2, 3, enable=1, clear=7, overrides=True
    )
    assert found("TRELLIS_FF", CEMUX="CE", REGSET="SET") == FlipFlop(
        2, 3, enable=4, preset=7, overrides=True, start=1
    )
    inverse, flip_flop = model("TRELLIS_FF", {"CEMUX": "INV"}, nets, lambda: 100)
    assert isinstance(inverse, Lookup)
    assert [inverse.table >> bit & 1 for bit in (0, 1)] == [1, 0]
    assert flip_flop == FlipFlop(2, 3, enable=100, clear=7, overrides=True)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("SB_RAM40_4K", {}),
        ("SB_DFFR", {}),
        ("SB_IO", {"PIN_TYPE": "000000"}),
        ("SB_IO", {}),
        ("SB_DFFNSR", {}),
        ("TRELLIS_FF", {"SRMODE": "ASYNC"}),
        ("TRELLIS_FF", {"CLKMUX": "INV"}),
    ],
)
def test_a_cell_that_is_not_known_is_refused(kind: str, parameters: dict[str, str]) -> None:
    with pytest.raises(UnknownCell, match=f"^The netlist holds a cell {kind}, "):
        model(kind, parameters, {"D": 2, "Q": 3}, int)
