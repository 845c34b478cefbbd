"""Lowering of a network to datapaths of adders, comparators and table look-ups."""
