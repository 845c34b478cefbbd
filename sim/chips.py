"""64 copies of a chip at once, behind their pins: a bit of a word is another chip's.

As :mod:`nomul.sim.chip`, for chips without RAMs, whose logic becomes C++ as it is: a statement for
each cell, all of them in every clock cycle.
"""

from __future__ import annotations

import io
import subprocess
from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from nomul.network import CheckFailed
from nomul.sim.cells import FlipFlop, Lookup
from nomul.sim.chip_logic import ChipLogic
from nomul.sim.verilator import call, compiler, writing

__all__ = ["N_CHIPS", "build_chips", "converse", "expression"]

N_CHIPS = 64

_MAIN = Path(__file__).with_name("chips.cpp")
_FUNCTION = """\
// The logic of a chip, once for each bit of a word.
#include <cstdint>

using word = uint64_t;

static word step(const word n{rx}) {{
    constexpr word n0 = 0, n1 = ~n0;
{statements}
    return n{tx};
}}
"""


def build_chips(logic: ChipLogic, folder: Path) -> Path:
    """Return the program that :func:`converse` runs.

    Parameters
    ----------
    folder
        Where everything goes, ``simulation.log`` with the compiler's messages included.

    Raises
    ------
    UserError
        If a C++ compiler is missing, or the folder cannot be written.
    CheckFailed
        If the logic has a loop, drives a net twice, or reads what nothing drives.
    """
    source = folder.resolve() / "logic.h"
    program = source.with_name("chips")
    # Optimizing so long a function takes ten times as long, and then it runs no faster.
    flags = ["-std=c++17", "-O0", f"-I{source.parent}"]
    command = [*compiler(), *flags, "-o", str(program), str(_MAIN)]
    with writing(_function(logic), source) as messages:
        call(command, source.parent, messages, "The chip's logic cannot be compiled")
    return program


def converse(
    program: Path,
    messages: Sequence[bytes],
    *,
    bit_cycles: int,
    silence_cycles: int,
    power_on_cycles: int = 1000,
) -> list[bytes]:
    """Return what the chips say to each message; message k goes to chip k % 64.

    Parameters
    ----------
    program
        What :func:`build_chips` made.
    bit_cycles, silence_cycles, power_on_cycles
        As for :class:`nomul.sim.chip.VirtualChip`. A chip that has said a frame gets its next
        message at once; one that babbles gets none any more.

    Raises
    ------
    CheckFailed
        If the program ends by itself.
    """
    numbers = map(str, (bit_cycles, silence_cycles, power_on_cycles))
    given = b"".join(len(message).to_bytes(4, "little") + message for message in messages)
    ended = subprocess.run([program, *numbers], input=given, stdout=subprocess.PIPE, check=False)
    if ended.returncode:
        raise CheckFailed("The simulator of the chips has ended by itself.")
    said = io.BytesIO(ended.stdout)
    return [said.read(int.from_bytes(said.read(4), "little")) for _ in messages]


def _function(logic: ChipLogic) -> str:
    """Return the C++ of a clock cycle."""
    lookups = {cell.output: cell for cell in logic.cells if isinstance(cell, Lookup)}
    flip_flops = [cell for cell in logic.cells if isinstance(cell, FlipFlop)]
    known = {0, 1, logic.rx, *(cell.q for cell in flip_flops)}
    outputs = (cell.output if isinstance(cell, Lookup) else cell.q for cell in logic.cells)
    net, n_drivers = Counter([0, 1, logic.rx, *outputs]).most_common(1)[0]
    if n_drivers > 1:
        raise CheckFailed(f"The chip's logic drives net {net} twice.")
    graph = {net: set(cell.inputs) - known for net, cell in lookups.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise CheckFailed("The chip's logic has a loop.") from error
    used = {logic.tx, *(net for cell in flip_flops for net in cell.inputs)}
    if not (known | lookups.keys()).issuperset([*order, *used]):
        raise CheckFailed("The chip's logic reads what nothing drives.")
    statements = []
    for cell in flip_flops:
        statements += [
            f"static word s{cell.q} = {-cell.start};",
            f"const word n{cell.q} = s{cell.q};",
        ]
    for net in order:
        text = expression(lookups[net].table, [f"n{source}" for source in lookups[net].inputs])
        statements.append(f"const word n{net} = {text};")
    for cell in flip_flops:
        enable = f"n{cell.enable}"
        if cell.overrides:
            enable = f"({enable} | n{cell.clear} | n{cell.preset})"
        loaded = f"((n{cell.d} & ~n{cell.clear}) | n{cell.preset})"
        statements.append(f"s{cell.q} = ({loaded} & {enable}) | (n{cell.q} & ~{enable});")
    return _FUNCTION.format(
        rx=logic.rx,
        tx=logic.tx,
        statements="\n".join(f"    {statement}" for statement in statements),
    )


def expression(table: int, names: Sequence[str]) -> str:
    """Return a table in operations on words, of which n0 is all zeros and n1 all ones.

    Parameters
    ----------
    table
        Bit k is what the inputs k give.
    names
        Of the inputs, the least significant bit first.
    """
    everything = (1 << (1 << len(names))) - 1
    if table in (0, everything):
        return "n1" if table else "n0"
    *rest, name = names
    half = 1 << len(rest)
    every = (1 << half) - 1
    low, high = table & every, table >> half
    if low == high:
        return expression(low, rest)
    if low == high ^ every:
        return f"({name} ^ {expression(low, rest)})"
    below, above = expression(low, rest), expression(high, rest)
    # One of the two is needed alone where the other holds too.
    at_0 = below if low & high == low else f"(~{name} & {below})"
    at_1 = above if low & high == high else f"({name} & {above})"
    return f"({at_0} | {at_1})"
