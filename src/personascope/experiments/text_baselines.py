"""What the text alone gives, once for all layers: words and, where an encoder is installed, sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from personascope.probes.folds import Folds
from personascope.probes.text_baseline import (
    feature_baseline_choices,
    feature_baseline_scores,
    text_baseline_choices,
    text_baseline_scores,
)


@dataclass(frozen=True, eq=False)
class TextBaselines:
    """Out-of-fold predictions from words and from sentence embeddings; the latter None without an encoder."""

    words: np.ndarray
    encoder: np.ndarray | None

    @classmethod
    def of_scores(
        cls, texts: Sequence[str], vectors: np.ndarray | None, Y: np.ndarray, folds: Folds, **topics: Any
    ) -> TextBaselines:
        """For ridge; `Y` and the predictions have shape (row, target). `topics` as in `text_baseline_scores`."""
        return cls(
            np.asarray(text_baseline_scores(texts, Y, folds, **topics)),
            None if vectors is None else np.asarray(feature_baseline_scores(vectors, Y, folds, **topics)),
        )

    @classmethod
    def of_choices(
        cls, texts: Sequence[str], vectors: np.ndarray | None, pairs: tuple[np.ndarray, ...], folds: Folds
    ) -> TextBaselines:
        """For pairs: first, second and margin."""
        first, second, margin = pairs
        return cls(
            text_baseline_choices(texts, first, second, margin, folds),
            None if vectors is None else feature_baseline_choices(vectors, first, second, margin, folds),
        )

    def column(self, number: int) -> TextBaselines:
        """Those of one target."""
        one = slice(number, number + 1)
        return TextBaselines(self.words[:, one], None if self.encoder is None else self.encoder[:, one])
