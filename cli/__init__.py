"""The ``nomul`` command."""
