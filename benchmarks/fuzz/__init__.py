"""Hostile input: coverage-guided fuzzing of everything that reads what others wrote."""
