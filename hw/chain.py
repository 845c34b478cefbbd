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
                f"layers.{number} is of kind {layer.kind}, and chains of dense and lookup layers "
                "are unrolled so far: take the folded engine, with `nomul fold` and the option "
                "--folded."
            )
        chain.append(layer)
    # Each has one source and each but the last feeds another: so they cannot but form a chain.
    return tuple(chain)
