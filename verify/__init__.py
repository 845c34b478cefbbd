"""The ladder from PyTorch to the bitstream: each step checked by what does not share its code."""
