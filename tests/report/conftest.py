"""Lets the tests of this room import the same synthetic tables."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tables():
    from report_tables import synthetic_tables

    return synthetic_tables()
