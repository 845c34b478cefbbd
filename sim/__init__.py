"""The golden model, and the benches that hold hardware to it."""
