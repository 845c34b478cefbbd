"""Networks on real boards."""
