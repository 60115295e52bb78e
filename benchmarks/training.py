"""One step of LoRA training on ratings: beginnings computed once and logits where the loss is, against the plain step.

The contender is what trl and transformers do by default: a padded batch, logits of every token, the loss of the
library's model. Between them stands ours without shared beginnings. Examples are those of the ideal-self study, which
begin alike; with reasons behind the rating they share as much and differ more. Nothing is timed before gradients agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.records import (
    Record,
    argument_parser,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from personascope.instruments.items import load_items
from personascope.instruments.personas import load_personas
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.prompts.templates import likert_template
from personascope.tuning.examples import IGNORED, Example, make_example
from personascope.tuning.lora import fresh_lora
from personascope.tuning.loss import answer_loss
from personascope.tuning.settings import TrainSettings

REASON = "I would weigh what the other person needs against what I have promised, and say so before I decide."
SAME = 1e-3
"""Largest relative difference of losses and gradients."""


def batch(engine: HookEngine, size: int, *, reasons: bool) -> dict[str, torch.Tensor]:
    """So many items of one facet as ratings to be learned, padded on the right."""
    template = likert_template("ascending")
    wording = load_personas()["self"].phrasings[0]
    items = load_items().items[:size]
    examples = [
        make_example(
            engine.tokenizer,
            item.id,
            template,
            {"framing": wording.framing, "item": item.text},
            f"{1 + place % 5}" + (f". {REASON}" if reasons else ""),
            system=wording.system,
        )
        for place, item in enumerate(items)
    ]
    return _padded(examples)


def _padded(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    longest = max(len(example.ids) for example in examples)
    rows = [(example, longest - len(example.ids)) for example in examples]
    return {
        "input_ids": torch.tensor([[*example.ids, *[0] * fill] for example, fill in rows]),
        "labels": torch.tensor([[*example.labels, *[IGNORED] * fill] for example, fill in rows]),
        "attention_mask": torch.tensor([[1] * len(example.ids) + [0] * fill for example, fill in rows]),
    }


def steps(engine: HookEngine, model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, Callable[[], None]]:
    """Forward and backward of each contender, which leave their gradients."""

    def stepped(loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def step() -> None:
            model.zero_grad(set_to_none=True)
            loss().backward()

        return step

    return {
        "ours": stepped(lambda: answer_loss(engine, inputs)),
        "padded": stepped(lambda: answer_loss(engine, inputs, shares=False)),
        "plain": stepped(lambda: model(**inputs, use_cache=False).loss),
    }


def gradients(model: Any) -> torch.Tensor:
    """All that a step would move, in one row."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None])


def case(engine: HookEngine, model: Any, size: int, rounds: int, *, reasons: bool) -> list[Record]:
    """One batch: equality first, then ratios."""
    name = f"{size} ratings" + (" with reasons" if reasons else "")
    contenders = steps(engine, model, batch(engine, size, reasons=reasons))
    found = {}
    for contender, step in contenders.items():
        step()
        found[contender] = gradients(model)
    scale = float(found["plain"].abs().max())
    gap = max(float((found[one] - found["plain"]).abs().max()) for one in ("ours", "padded")) / scale
    records = [require_equal(f"{name}: gradients", gap, SAME)]
    seconds = interleaved(contenders, rounds)
    note = f"{np.median(seconds['ours']):.2f} s a step"
    for title, other, target in (("the plain step", "plain", 2.0), ("logits where the loss is alone", "padded", None)):
        records.append(show_so_far(ratio(f"{name}: vs {title}", seconds["ours"], seconds[other], target, note)))
    return records


def main() -> None:
    """Equality first, then the ratios."""
    parser = argument_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default 2)")
    options = parser.parse_args()
    require_quiet(options.busy)
    engine = load_model("smollm2", threads=options.threads)
    records: list[Record] = []
    with fresh_lora(engine, TrainSettings(dropout=0.0)) as model:
        for size, reasons in ((8, False), (16, False), (16, True)):
            records += case(engine, model, size, options.rounds, reasons=reasons)
    show("one step of LoRA training, SmolLM2-135M", records, options.json)


if __name__ == "__main__":
    main()
