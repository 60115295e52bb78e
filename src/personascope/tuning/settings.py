"""How an adapter is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainSettings:
    """How an adapter is trained; the defaults suit a model of 135M parameters.

    Args:
        rank: of LoRA on every linear layer but the head.
        alpha: its scale is alpha / rank; by default twice the rank.
        dropout: of the adapter's input while it is trained; slow to draw on CPUs.
        learning_rate: peak, after `warmup` (a share of all steps), falling as a cosine.
        epochs: at most.
        patience: epochs without a lower validation loss after which training stops.
        batch_size: examples in a step.
        max_length: tokens; a longer example is an error, as a cut answer would be learned.
        seed: of the adapter's initial weights, the order of examples and dropout.
    """

    rank: int = 16
    alpha: int | None = None
    dropout: float = 0.0
    learning_rate: float = 2e-4
    warmup: float = 0.05
    epochs: int = 3
    patience: int = 1
    batch_size: int = 8
    max_length: int = 512
    seed: int = 0
