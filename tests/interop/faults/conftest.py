"""Fixtures of the fault tests."""

import pytest

from figures import Figures


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Where figures go."""
    return Figures()
