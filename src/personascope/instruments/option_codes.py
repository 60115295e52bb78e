"""What is written for an answer in a file, and the option that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int8

from personascope.errors import DataError, FileFormatError

MISSING = -1
"""Stands for an answer that was not given, in every response matrix."""
_MOST_OPTIONS = 127
_NO_ANSWER = ("", "NA", "NaN")
"""Texts that mean a missing answer in any file: an empty field, R's NA, and what pandas writes."""


@dataclass(frozen=True)
class OptionCodes:
    """How a field of a file becomes an option.

    Args:
        path: the file, for errors.
        n_options: K.
        lowest: code of the lowest option in the file.
        missing: codes of a missing answer.

    Raises:
        DataError: a number of options outside 2 to 127, or a code that is both an option and missing.
    """

    path: Path
    n_options: int
    lowest: int
    missing: tuple[int, ...]

    def __post_init__(self) -> None:
        check_options(self.n_options)
        clash = [code for code in self.missing if self.lowest <= code < self.lowest + self.n_options]
        if clash:
            raise DataError(
                f"The code {clash[0]} cannot be both missing and an option.",
                f"Options are {self.lowest} to {self.lowest + self.n_options - 1} in the file.",
                "Change `missing`, `lowest` or `n_options`.",
            )

    def read(self, column: str, texts: pl.Series) -> Int8[np.ndarray, " row"]:
        """Options 1 to K of one column, -1 where missing.

        Raises:
            FileFormatError: naming the first field that is neither an option nor missing.
        """
        plain = texts.str.strip_chars()
        absent = (plain.is_null() | plain.is_in(list(_NO_ANSWER)).fill_null(True)).to_numpy()
        numbers = plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        option = numbers - self.lowest + 1
        given = (option == np.floor(option)) & (option >= 1) & (option <= self.n_options)
        bad = ~(given | absent | np.isin(numbers, self.missing))
        if bad.any():
            row = int(np.argmax(bad))
            whole = np.isfinite(numbers[row]) and numbers[row] == np.floor(numbers[row])
            options = f"{self.lowest} to {self.lowest + self.n_options - 1}"
            raise FileFormatError(
                f"{self.path}, data row {row + 1}, column {column!r}: {str(texts[row])[:40]!r} is "
                + (f"outside {options}" if whole else "not a whole number")
                + f" ({int(bad.sum())} such values in this column).",
                f"Answers are {options}; missing are empty fields, NA and the codes {list(self.missing)}.",
                "Name the item columns by `columns`, or correct `n_options`, `lowest` or `missing`.",
            )
        return np.where(given, option, MISSING).astype(np.int8)


def check_options(n_options: int) -> None:
    """Hold that a response scale has 2 to 127 options, which int8 can number.

    Raises:
        DataError: it has not.
    """
    if not 2 <= n_options <= _MOST_OPTIONS:
        raise DataError(f"{n_options} options.", f"A response scale has 2 to {_MOST_OPTIONS}.", "Correct n_options.")
