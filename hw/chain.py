"""What hardware can be unrolled: chains of dense and lookup layers."""

from __future__ import annotations

from nomul.network import Dense, Lookup, Network, UserError

__all__ = ["unrolled_chain"]


def unrolled_chain(network: Network) -> tuple[Dense | Lookup, ...]:
    """Return the layers of ``network``, of which each takes its levels from the one before.

    Raises
    ------
    UserError
        If a layer is of another kind.
    """
    chain = []
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, (Dense, Lookup)):
            raise UserError(
                f"layers.{number} is of kind {layer.kind}: hardware is generated for chains of "
                "dense and lookup layers so far; evaluate this network with `nomul evaluate`."
            )
        chain.append(layer)
    # Each has one source and each but the last feeds another: so they cannot but form a chain.
    return tuple(chain)
