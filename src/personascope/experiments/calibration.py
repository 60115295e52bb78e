"""How far a model can be steered: built-in items, passages and questions under random pushes, and a direction's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from personascope.direction import Direction
from personascope.errors import ModelError
from personascope.experiments.questionnaires import MAIN_SCALE, item_prompt, rating_template
from personascope.files import write_json
from personascope.instruments.items import load_items
from personascope.instruments.neutral_texts import load_neutral_texts
from personascope.instruments.personas import load_personas
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.models.requests import require_layers
from personascope.prompts.labels import resolve_options
from personascope.prompts.render import render
from personascope.prompts.templates import ORDERS, TASK_ALONE
from personascope.steering.calibration import Calibration, calibrate
from personascope.steering.damage import Asked

COEFFICIENTS = (0.05, 0.1, 0.2, 0.4, 0.8)
N_LAYERS, N_ITEMS, N_TEXTS, N_QUESTIONS, NEW_TOKENS = 5, 6, 2, 2, 32
"""Enough to see damage, and few enough for some minutes on a small CPU."""
_REQUEST = "Write a short paragraph in plain words."


def calibrate_model(
    name: str,
    *,
    layers: Sequence[int] = (),
    position: str = "from:item",
    coefficients: Sequence[float] = COEFFICIENTS,
    direction: Path | None = None,
    dtype: str = "float32",
    chat_template: str | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> tuple[Calibration, HookEngine]:
    """Load a model and calibrate it: random directions at some layers, and a saved direction at its own.

    Args:
        name: alias, folder, .gguf file or hub name.
        layers: where random directions are pushed; five from a tenth to nine tenths of the depth by default.
        position: what is steered; the built-in prompts have "item", their end of turn and their answer.
        coefficients: strengths, fractions of the residual norm above 0.
        direction: stem of a saved direction, `NAME` for NAME.safetensors and NAME.json.
        dtype: of the weights.
        chat_template: for base models, "plain" or a Jinja file.
        seed: of the random directions.
        progress: called with (what, parts done, parts in all).

    Returns:
        The calibration, and the model.

    Raises:
        FileFormatError: the direction cannot be read.
        PersonascopeError: as `load_model` and `calibrate`.
    """
    given = [Direction.load(direction)] if direction is not None else []
    template = Path(chat_template) if chat_template else None
    engine = load_model(name, dtype=dtype, chat_template="plain" if chat_template == "plain" else template)
    chosen = tuple(layers) or spread_layers(engine.n_layers)
    require_layers(engine, [*chosen, *(one.layer for one in given)])
    if len(set(chosen)) < len(chosen):
        raise ModelError(f"A layer stands twice in {list(chosen)}.", "", "Ask for each layer once.")
    found = calibrate(
        engine,
        given,
        layers=chosen,
        where=position,
        coefficients=coefficients,
        asked=built_in_prompts(engine),
        seed=seed,
        progress=lambda done, total: progress("calibration", done, total),
    )
    return found, engine


def spread_layers(n_layers: int, n: int = N_LAYERS) -> tuple[int, ...]:
    """Up to `n` layers from a tenth to nine tenths of the depth."""
    depths = np.linspace(0.1, 0.9, n) * (n_layers - 1)
    return tuple(dict.fromkeys(int(depth) for depth in depths.round()))


def built_in_prompts(engine: HookEngine) -> Asked:
    """The first items of every few facets as the model rates itself, and neutral passages and questions.

    Raises:
        TemplateError: a tokenizer without a chat template.
    """
    template, persona = rating_template(engine, MAIN_SCALE, ORDERS[0]), load_personas()["self"]
    items = load_items().form("200").items
    closed = [item_prompt(engine, persona, item, template) for item in items[:: len(items) // N_ITEMS][:N_ITEMS]]
    neutral = load_neutral_texts()
    return Asked(
        closed=closed,
        options=resolve_options(engine.tokenizer, closed[0].text.splitlines()[-1], template.labels),
        texts=[
            render(engine.tokenizer, TASK_ALONE, {"item": _REQUEST}, reply=passage.text)
            for passage in neutral.passages[:N_TEXTS]
        ],
        open=[render(engine.tokenizer, TASK_ALONE, {"item": asked.text}) for asked in neutral.questions[:N_QUESTIONS]],
        max_new_tokens=NEW_TOKENS,
    )


def write_calibration(found: Calibration, engine: HookEngine, file: Path) -> None:
    """Write all numbers as JSON; a measure that is no finite number is null, and its guard does not hold."""
    frames = {"measured": found.frame(), "guards": found.guard_frame(), "ranges": found.range_frame()}
    rows = {name: [_finite(row) for row in frame.iter_rows(named=True)] for name, frame in frames.items()}
    facts = {
        "model": found.model,
        "fingerprint": engine.fingerprint(),
        "position": found.position,
        "norms": [dataclasses.asdict(norm) for norm in found.norms],
        "reference_norms": {str(layer): norm for layer, norm in found.reference_norms.items()},
        "unsteered": _finite(dataclasses.asdict(found.baseline)),
        "limits": dataclasses.asdict(found.limits),
    }
    write_json(file, facts | rows)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
