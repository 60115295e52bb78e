"""Lets the tests of this room import the planted defects of the benchmarks, which stand beside `src`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
