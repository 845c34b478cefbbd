"""What holds of every test."""

import pytest
from hypothesis import settings

# Without more being said a test draws the same in every run: what has passed passes again.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Test names are the same in every process, or they cannot be shared out among several."""
    named_by_address = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if named_by_address:
        raise pytest.UsageError(f"give this test's parameters ids: {named_by_address[0]}")
