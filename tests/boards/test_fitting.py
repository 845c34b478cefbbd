"""What a refusal says of other boards; of each network is counted what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from nomul.boards.catalog import BOARDS, find_board
from nomul.boards.fitting import fold_for
from nomul.network import Conv2d, Input, Network, Output, UserError
from nomul.sim.golden import evaluate_levels
from nomul.sim.interpreter import execute
from tests.hw.folded import NETWORKS, chain, residual
from tests.networks import random_levels, random_lookup, random_network

NOWHERE = "; no other board's engine holds the network either."

# 8 lanes take four blocks of 400 words of weights and one of 32, and 16 lanes two and one.
MANY_WEIGHTS = random_network((400, 32, 2), (2, 2))
# An input of 48 x 48 levels, and three such channels of a layer.
LARGE_MAPS = chain(
    (1, 48, 48),
    (2, 2),
    "accumulators",
    [(Conv2d, (3, 1, 1, 1), 3, {}), (Conv2d, (1, 3, 1, 1), 1, {})],
)
MANY_NEURONS = random_network((2, 257, 3), (2, 2))
TOO_MANY_NEURONS = random_network((2, 1100, 3), (2, 2))
ADDITION = NETWORKS["a channel goes straight on"]
KERNEL = (Conv2d, (2, 2, 3, 3), 2, {"padding": (1, 1)})
TWO_KERNELS = residual((2, 3, 3), KERNEL, KERNEL)
LOOKUP = Network(Input((4,), np.zeros(1)), (random_lookup(3, 2, 4, 2),), Output("levels"))


def refusal(network: Network, board: str) -> str:
    with pytest.raises(UserError) as caught:
        fold_for(network, find_board(board))
    return str(caught.value)


def check_held(network: Network, board: str) -> None:
    """See that the board's program answers as the network does."""
    program = fold_for(network, find_board(board))
    assert program.settings == find_board(board).engine_settings
    levels = random_levels(network, 2)
    expected = evaluate_levels(network, levels).reshape(len(levels), -1)
    if network.output.kind != "class":
        expected = expected[:, program.output_order]
    assert execute(program, levels).answers.tolist() == expected.tolist()


@pytest.mark.parametrize("board", BOARDS)
def test_what_fits_is_a_program_of_the_boards_engine(board: str) -> None:
    check_held(NETWORKS["pictures"], board)


@pytest.mark.parametrize(
    ("network", "refusing", "sentence", "holding"),
    [
        pytest.param(
            MANY_WEIGHTS,
            ["ice40-hx8k"],
            "The network needs 1,632 words of 8 weights, and the engine has 1,536, 96 too few: "
            "what helps is fewer channels or neurons, or an engine with a deeper weight memory",
            ["icebreaker", "icesugar"],
            id="weights",
        ),
        pytest.param(
            LARGE_MAPS,
            ["icebreaker", "icesugar"],
            "The network needs 9,216 levels to be held at a time, and the engine has 6,144, 3,072 "
            "too few: what helps is fewer channels in the first layers, a larger stride, or an "
            "engine with deeper maps",
            ["ulx3s-25f"],
            id="maps",
        ),
        pytest.param(
            MANY_NEURONS,
            ["icebreaker", "icesugar", "ice40-hx8k", "ulx3s-25f"],
            "The network needs 260 biases, and the engine has 256, 4 too few: what helps is fewer "
            "channels or neurons, or an engine with more biases",
            ["ulx3s-85f"],
            id="biases",
        ),
        pytest.param(
            ADDITION,
            ["icebreaker", "icesugar", "ice40-hx8k"],
            "layers.3 is a residual addition, and the engine has no shortcuts: what helps is an "
            "engine with them, or a network without residuals",
            ["ulx3s-25f"],
            id="shortcuts",
        ),
    ],
)
def test_a_refusal_names_the_first_boards_that_hold_the_network(
    network: Network, refusing: list[str], sentence: str, holding: list[str]
) -> None:
    for board in refusing:
        assert refusal(network, board) == (
            f"{sentence}; the engine of {' and '.join(holding)} holds the network as it is."
        )
    for board in holding:
        check_held(network, board)


def test_a_network_that_no_board_holds_is_said_to_be_so() -> None:
    for board, n_biases, missing in (
        ("icebreaker", "256", "847"),
        ("ulx3s-25f", "256", "847"),
        ("ulx3s-85f", "1,024", "79"),
    ):
        assert refusal(TOO_MANY_NEURONS, board) == (
            f"The network needs 1,103 biases, and the engine has {n_biases}, {missing} too few: "
            f"what helps is fewer channels or neurons, or an engine with more biases{NOWHERE}"
        )


def test_what_no_engine_can_do_is_promised_of_no_board() -> None:
    for board in BOARDS:
        assert refusal(LOOKUP, board) == (
            "layers.0 is of kind lookup, which the folded engine cannot do: it does dense layers, "
            f"convolutions, transposed ones, max-pooling and residual additions{NOWHERE}"
        )
    # Shortcuts are the first that is missing there, and would not be enough.
    assert refusal(TWO_KERNELS, "icebreaker") == (
        "layers.3 is a residual addition, and the engine has no shortcuts: what helps is an engine "
        f"with them, or a network without residuals{NOWHERE}"
    )
    assert refusal(TWO_KERNELS, "ulx3s-85f") == (
        "layers.3 adds layers.1 and layers.2, and the folded engine can add two layers with "
        "weights, one of which has a kernel of a single position: what helps is a residual with a "
        f"plain shortcut, or none{NOWHERE}"
    )
