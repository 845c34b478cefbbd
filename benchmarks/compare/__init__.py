"""Networks of ours beside those of others, all through the same synthesizer."""
