"""An experiment: one TOML file that says data, network, training and hardware.

Every key has a default. Levels, centres and the one codebook for the whole network are as published
(Baluja et al. 2018); fixing the codebook for the last steps is not, and
``straight_through_from = 1`` leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nomul.network.errors import UserError
from nomul.network.model import Encoding
from nomul.train.input_thresholds import Sharing, ThresholdKind
from nomul.train.layer_settings import LayerSettings

__all__ = [
    "CodebookKind",
    "CodebookSettings",
    "DataSettings",
    "Experiment",
    "HardwareSettings",
    "InputSettings",
    "NetworkSettings",
    "TrainingSettings",
    "notes",
]

CodebookKind = Literal[
    "kmeans",
    "laplacian_l1",
    "laplacian_l2",
    "gaussian_l1",
    "gaussian_l2",
    "grid",
    "powers_of_two",
    "ternary",
    "bilevel",
]

_FRACTION = {"least": 0.0, "greatest": 1.0}
_COUNT = {"least": 0}


@dataclass(frozen=True)
class DataSettings:
    """Where the samples come from: a known name or the path of one's own data.

    ``image_size`` enlarges pictures to so many pixels a side; 0: they stay as they are.
    ``test_samples``: how many of the test samples count; 0: all.
    """

    name: str = "digits"
    image_size: int = field(default=0, metadata={"least": 0, "greatest": 4_096})
    test_samples: int = field(default=0, metadata=_COUNT)


@dataclass(frozen=True)
class InputSettings:
    """How features become levels.

    ``thresholds``: at equal distances over the range of the training set, or at its quantiles.
    ``sharing``: whether each feature or channel has its own. ``encoding``: a feature is one input
    of many levels, or, as a thermometer, one input of two levels for each threshold.
    """

    levels: int = field(default=16, metadata={"least": 2, "greatest": 256})
    thresholds: ThresholdKind = "uniform"
    sharing: Sharing = "shared"
    encoding: Encoding = "level"


@dataclass(frozen=True)
class NetworkSettings:
    """The layers.

    ``task``: to name the sample's class, or to give its features again. ``hidden`` counts the
    neurons of dense hidden layers; ``layers`` lists layers of any kind instead. ``output``: the
    last layer; without it a dense one with an output for each class or feature. ``levels`` and
    ``ceiling`` (of reluD) hold for every activation. ``batch_norm`` normalizes the hidden layers;
    it becomes part of their thresholds. ``fan_in`` limits how many inputs each neuron uses, one
    number for each weighted layer in order, the output layer included; empty: all of them.
    ``operand_bits`` limits the bits of all operands that all sums of one sample add, as counted
    when the network is pruned for the last time; 0: no limit.
    """

    task: Literal["classify", "reconstruct"] = "classify"
    hidden: tuple[int, ...] = field(default=(32,), metadata={"least": 1, "greatest": 65_536})
    layers: tuple[LayerSettings, ...] = ()
    output: LayerSettings | None = None
    activation: Literal["tanhd", "relud", "sign", "hardtanhd", "sigmoidd"] = "tanhd"
    ceiling: float = field(default=6.0, metadata={"least": 1e-6, "greatest": 1e6})
    levels: int = field(default=32, metadata={"least": 2, "greatest": 256})
    batch_norm: bool = False
    fan_in: tuple[int, ...] = field(default=(), metadata={"least": 1})
    operand_bits: int = field(default=0, metadata=_COUNT)


@dataclass(frozen=True)
class CodebookSettings:
    """The values that weights may take.

    ``kmeans``: the centres of one-dimensional k-means. ``laplacian`` and ``gaussian``: the best
    centres for weights of that distribution, by absolute (``l1``) or squared (``l2``) error;
    ``pinned``: the extreme centre is the largest weight. ``grid``: a step times the integers
    around 0, the step of least squared error; beyond 255 centres, that with which the extreme
    centre is the largest weight. ``powers_of_two``, ``ternary`` and ``bilevel``: a step times 0
    and ±1, ±2, ±4, ...; -1, 0, 1; and -1, 1, the last two whatever the size. ``scope``: what
    shares a codebook; ``groups`` lists the weighted layers of each, counted from 0. ``biases``:
    tied to the codebook or apart.
    ``zero``: 0 is always a centre. ``start_size``: the number of centres shrinks from it to
    ``size``; 0: it does not.
    """

    kind: CodebookKind = "kmeans"
    size: int = field(default=101, metadata={"least": 2, "greatest": 65_535})
    scope: Literal["network", "layer", "groups"] = "network"
    groups: tuple[tuple[int, ...], ...] = field(default=(), metadata=_COUNT)
    biases: Literal["apart", "clustered"] = "apart"
    zero: bool = False
    pinned: bool = True
    start_size: int = field(default=0, metadata={"least": 0, "greatest": 65_535})


@dataclass(frozen=True)
class TrainingSettings:
    """The loop: AdamW and its schedules. A fraction is one of ``steps``.

    ``schedule``: the learning rate falls to zero along a cosine, to a tenth at a half and again at
    three quarters, or not at all; for ``warm_up`` steps it rises. ``noise`` is the standard
    deviation of what is added to the features, in their own unit. Pictures and signals are moved
    by up to ``shift`` places, and, with ``flip``, half of them mirrored along their last axis.

    Every ``cluster_every`` steps the weights are replaced by their nearest centres, from the
    fraction ``cluster_from`` on; 0: never before the end. ``cluster_every_start``: the interval
    shrinks from it to ``cluster_every``; 0: it does not. From the fraction
    ``straight_through_from`` on the codebook is fixed and the forward pass uses it; 1: never.
    ``prune_until`` is the fraction at which ``fan_in`` or ``operand_bits`` is reached,
    ``connect_until`` that from which the connections of lookups stay as they are. ``cost`` times
    the bits of the weights that a neuron adds, in the mean, is part of the loss: see
    :func:`nomul.train.cost_term.weight_bits`.

    ``validation`` is the share of the training samples kept apart. With a ``patience``, the loss
    on them is taken every ``validate_every`` steps, from when the network is pruned and its
    codebook fixed, if it is to be; after ``patience`` times without a better one training stops,
    and the best state counts. ``precision``: of the forward pass.
    """

    seed: int = field(default=0, metadata={"least": 0, "greatest": 2**63 - 1})
    steps: int = field(default=2000, metadata={"least": 1})
    batch_size: int = field(default=64, metadata={"least": 2, "greatest": 65_536})
    learning_rate: float = field(default=0.01, metadata={"least": 0.0, "greatest": 1.0})
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    warm_up: int = field(default=0, metadata=_COUNT)
    weight_decay: float = field(default=0.0, metadata={"least": 0.0, "greatest": 10.0})
    label_smoothing: float = field(default=0.2, metadata=_FRACTION)
    noise: float = field(default=0.0, metadata={"least": 0.0, "greatest": 1e6})
    shift: int = field(default=0, metadata={"least": 0, "greatest": 1_024})
    flip: bool = False
    cluster_every: int = field(default=100, metadata=_COUNT)
    cluster_every_start: int = field(default=0, metadata=_COUNT)
    cluster_from: float = field(default=0.2, metadata=_FRACTION)
    straight_through_from: float = field(default=0.6, metadata=_FRACTION)
    prune_until: float = field(default=0.25, metadata=_FRACTION)
    connect_until: float = field(default=0.6, metadata=_FRACTION)
    cost: float = field(default=0.0, metadata={"least": 0.0, "greatest": 10.0})
    validation: float = field(default=0.0, metadata={"least": 0.0, "greatest": 0.9})
    validate_every: int = field(default=100, metadata={"least": 1})
    patience: int = field(default=0, metadata=_COUNT)
    checkpoint_every: int = field(default=1000, metadata={"least": 1})
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False


@dataclass(frozen=True)
class HardwareSettings:
    """Which board the network is built for."""

    board: str = "icebreaker"


@dataclass(frozen=True)
class Experiment:
    """All settings of one experiment.

    Raises
    ------
    UserError
        If two settings contradict each other.
    """

    data: DataSettings = DataSettings()
    input: InputSettings = InputSettings()
    network: NetworkSettings = NetworkSettings()
    codebook: CodebookSettings = CodebookSettings()
    training: TrainingSettings = TrainingSettings()
    hardware: HardwareSettings = HardwareSettings()

    def __post_init__(self) -> None:
        network, codebook, training = self.network, self.codebook, self.training
        if network.layers and network.hidden != NetworkSettings.hidden:
            raise UserError("network.hidden and network.layers are both there: keep one of them.")
        if network.activation == "sign" and network.levels != 2:
            raise UserError(
                f"network.levels is {network.levels}: the sign has two levels, so write levels = 2."
            )
        if network.fan_in and network.operand_bits:
            raise UserError(
                "network.fan_in and network.operand_bits are both there: keep one of them."
            )
        if not network.layers and network.fan_in:
            n_layers = len(network.hidden) + 1
            if len(network.fan_in) != n_layers:
                entries = "entry" if len(network.fan_in) == 1 else "entries"
                raise UserError(
                    f"network.fan_in has {len(network.fan_in)} {entries}: it must have one for "
                    f"each of the {n_layers} layers, or none."
                )
        if (codebook.scope == "groups") != bool(codebook.groups):
            raise UserError(
                'codebook.groups lists the layers of each codebook where scope = "groups", and '
                "must be left out elsewhere."
            )
        if () in codebook.groups:
            raise UserError(
                f"codebook.groups[{codebook.groups.index(())}] is empty: each group must list at "
                "least one weighted layer."
            )
        needs_zero = codebook.zero or network.fan_in or network.operand_bits
        if codebook.size == 2 and codebook.kind not in ("kmeans", "grid", "ternary", "bilevel"):
            raise UserError(
                f"codebook.size is 2: {codebook.kind} is symmetric around a centre and would have "
                "that one alone, so write 3 or choose bilevel."
            )
        is_bilevel = codebook.kind == "bilevel" or (codebook.kind, codebook.size) == ("grid", 2)
        if needs_zero and is_bilevel:
            raise UserError(
                f"codebook.kind is {codebook.kind} of two centres, which have no 0 between them: "
                "codebook.zero and pruning need one, so choose ternary."
            )
        if codebook.start_size and codebook.start_size < codebook.size:
            raise UserError(
                f"codebook.start_size is {codebook.start_size}: it must be at least the size "
                f"{codebook.size}, to which it shrinks."
            )
        if training.cluster_every_start and training.cluster_every_start < training.cluster_every:
            raise UserError(
                f"training.cluster_every_start is {training.cluster_every_start}: it must be at "
                f"least cluster_every, {training.cluster_every}, to which it shrinks."
            )
        if training.warm_up >= training.steps:
            raise UserError(
                f"training.warm_up is {training.warm_up}: it must be less than "
                f"training.steps, {training.steps}."
            )
        if training.patience and not training.validation:
            raise UserError(
                "training.patience needs samples to validate on: write validation = 0.1, say."
            )


def notes(experiment: Experiment) -> list[str]:
    """Return a sentence for each setting in whose place another value is used."""
    from nomul.train.codebook import centres_used  # needs kmeans1d, which settings do without

    kind, size = experiment.codebook.kind, experiment.codebook.size
    used = centres_used(kind, size)
    if used == size:
        return []
    if kind in ("ternary", "bilevel"):
        if size == CodebookSettings.size:
            return []
        return [f"codebook.size is {size}: {kind} has {used} centres whatever the size."]
    if used < size - 1:
        return [f"codebook.size is {size}: {kind} has at most {used} centres, so these are used."]
    return [
        f"codebook.size is {size}: {kind} is symmetric around a centre, so {used} centres are used."
    ]
