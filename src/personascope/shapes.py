"""Shape aliases for annotations. Axes are lower-case: row layer position d_model target fold alpha option.

beartype checks them under pytest only (tests/conftest.py); in use they cost nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

Residuals: TypeAlias = Float[Tensor, "row layer position d_model"]
Hidden: TypeAlias = Float[Tensor, "batch token d_model"]
OptionLogProbs: TypeAlias = Float[Tensor, "row option"]
Features: TypeAlias = Float[np.ndarray, "row d_model"]
Targets: TypeAlias = Float[np.ndarray, "row target"]
Vector: TypeAlias = Float[np.ndarray, " d_model"]
RowValues: TypeAlias = Float[np.ndarray, " row"]
Groups: TypeAlias = Int[np.ndarray, " row"]
