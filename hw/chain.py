"""What hardware can be generated for: chains of dense layers."""

from __future__ import annotations

from nomul.network import Dense, Network, UserError

__all__ = ["dense_chain"]


def dense_chain(network: Network) -> tuple[Dense, ...]:
    """Return the layers of ``network``, of which each takes its levels from the one before.

    Raises
    ------
    UserError
        If a layer is not dense.
    """
    chain = []
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, Dense):
            raise UserError(
                f"layers.{number} is of kind {layer.kind}: hardware is generated for chains of "
                "dense layers so far; evaluate this network with `nomul evaluate`."
            )
        chain.append(layer)
    # Each has one source and each but the last feeds another: so they cannot but form a chain.
    return tuple(chain)
