"""Check an item bank, or let a model write more items of it: what the `items` commands do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from personascope.errors import ModelError
from personascope.experiments.upscale_options import UpscaleOptions
from personascope.files import write_text
from personascope.instruments.audit import Audit, audit, load_source
from personascope.instruments.audit.examples import Examples, learning_items
from personascope.instruments.audit.findings import VERDICTS
from personascope.instruments.audit.wording import normal_form
from personascope.instruments.budget import Budget
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import load_items
from personascope.instruments.upscale import upscale
from personascope.instruments.upscaled import Upscaled
from personascope.models.embedded import is_installed
from personascope.models.encoder import load_encoder
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.load import load_model
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import Template

WRITING = Template(name="write", user="{request}")
_TOKENS_PER_ITEM = 40


FACET_RECALL, KEY_RECALL = 0.93, 0.93
"""Shares of wrong facets and wrong keys that the texts are to show up, by what they say themselves, which is a little
more than what planted ones bear out; the summary tells at what cost."""
_FEWEST = 8
"""For smaller banks no model is loaded: there, a reader is faster."""
_STATES_UP_TO, _VECTORS_UP_TO = 1500, 3000
"""Larger banks are read without the language model, and without the encoder: they would take minutes."""
_BEFORE, _AFTER = 'Someone says: "', '" A person who says this is very'
_LAYERS = (15, 19)


def check_bank(file: Path | None, against: Sequence[Path] = (), reasons: Path | None = None) -> Audit:
    """Audit an item file, or the built-in bank, against the texts of other files.

    Facets and keys are read from sentence vectors and, where it is installed and some text is not of the built-in bank,
    from hidden states of the embedded language model; the built-in items are examples.

    Args:
        file: item file; None for the built-in bank.
        against: files with a `text` field that no item may repeat.
        reasons: where to write the table of all items with verdict and reasons, as CSV: the worst verdicts first, and
            of each verdict the most doubtful labels.

    Raises:
        FileFormatError: a file that cannot be read.
        ModelError: the sentence encoder is not installed.
    """
    bank, sources = load_items(file, repeated_texts=True), [load_source(path) for path in against]
    texts = [item.text for item in bank.items]
    taught = Examples(learning_items(bank, load_facet_definitions()))
    vectors, states = None, None
    if _FEWEST <= len(texts) <= _VECTORS_UP_TO:
        rows = load_encoder().encode([*texts, *(item.text for item in taught.items)])
        vectors, taught = rows[: len(texts)], Examples(taught.items, rows[len(texts) :])
        is_known = all(normal_form(text) in taught.verified for text in texts)
        if not is_known and len(texts) <= _STATES_UP_TO and is_installed("smollm2"):
            rows = _states([*texts, *(item.text for item in taught.items[: taught.n_poles])])
            states, taught = rows[: len(texts)], Examples(taught.items, taught.vectors, rows[len(texts) :])
    found = audit(
        bank,
        sources=sources,
        vectors=vectors,
        states=states,
        examples=taught,
        facet_recall=FACET_RECALL,
        key_recall=KEY_RECALL,
    )
    if reasons is not None:
        order = pl.col("verdict").replace_strict({name: n for n, name in enumerate(VERDICTS)}, return_dtype=pl.Int64)
        table = found.frame().sort(order, "doubt", descending=True, maintain_order=True, nulls_last=True)
        write_text(reasons, table.write_csv())
    return found


def _states(texts: Sequence[str]) -> Float[np.ndarray, "text feature"]:
    """What the language model makes of whoever says each text, shape (text, feature).

    Mean state over the text in the middle of the model, and the last state before an adjective is to follow.
    """
    engine = load_model("smollm2", dtype="auto")  # a label is far coarser than bfloat16
    before, after = (tuple(engine.tokenizer(part).input_ids) for part in (_BEFORE, _AFTER))
    prompts = []
    for text in texts:
        item = tuple(engine.tokenizer(text).input_ids)
        span = (len(before), len(before) + len(item))
        prompts.append(Prompt(before + item + after, f"{_BEFORE}{text}{_AFTER}", {"item": span}))
    read = engine.run(prompts, layers=_LAYERS, positions=("mean:item", "answer")).residuals
    return np.asarray(torch.cat([read[:, 0, 0], read[:, 1, 1]], dim=1).float().numpy())


def model_writer(
    engine: HookEngine, *, max_new_tokens: int, temperature: float = 0.7, seed: int = 0
) -> Callable[[str], str]:
    """A function prompt -> text that lets a loaded model write; the same prompt and seed give the same text."""

    def write(prompt: str) -> str:
        rendered = render(engine.tokenizer, WRITING, {"request": prompt})
        written = generate(engine, [rendered], max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        return written.texts[0][0]

    return write


def grow_bank(options: UpscaleOptions, progress: Callable[[str, int, int], None] | None = None) -> Upscaled:
    """Let a model write items, keep those that pass the audit, and write three files.

    `out` holds the bank, `out`.answers.jsonl every answer as it came (a run continues from it), `out`.candidates.csv
    every statement with what spoke against it.

    Raises:
        ModelError: both a local model and an endpoint, or an endpoint without the name of its model.
        PersonascopeError: as `upscale`, `Endpoint` and `load_model`.
    """
    bank = load_items(options.seed_items)
    sources = [load_source(path) for path in options.against]
    name, writer = _writer(options)
    out = options.out
    made = upscale(
        bank,
        options.per_facet,
        writer,
        facets=options.facets or None,
        batch=options.batch,
        seed=options.seed,
        budget=Budget(options.budget_calls, options.budget_tokens),
        generator=name,
        ledger=out.with_name(f"{out.name}.answers.jsonl"),
        sources=sources,
        allow_licensed=options.allow_licensed,
        progress=progress,
    )
    write_text(out.with_name(f"{out.name}.candidates.csv"), made.frame().write_csv())
    made.freeze(out)
    return made


def _writer(options: UpscaleOptions) -> tuple[str, Callable[[str], str]]:
    """Who writes: its name, and the function from prompt to text, which loads a local model at its first call."""
    length = options.batch * _TOKENS_PER_ITEM
    half = (options.endpoint is None) != (options.endpoint_model is None)
    if half or (options.endpoint is not None and options.model is not None):
        raise ModelError(
            "Who is to write: a local model, or an endpoint with the name of its model?",
            "",
            "Give --model NAME, or --endpoint URL and --endpoint-model NAME.",
        )
    if options.endpoint is not None and options.endpoint_model is not None:
        server = Endpoint(
            options.endpoint,
            options.endpoint_model,
            api_key_env=options.api_key_env,
            budget=Budget(options.budget_calls, options.budget_tokens),  # repeated requests count here
            max_tokens=2 * length,
            seed=options.seed,
        )
        return f"{server.model} at {server.url}", server
    model, loaded = options.model or "smollm2", list[Callable[[str], str]]()

    def write(prompt: str) -> str:
        if not loaded:  # wrong options end before minutes of loading, and a finished run loads nothing
            loaded.append(model_writer(load_model(model), max_new_tokens=length, seed=options.seed))
        return loaded[0](prompt)

    return model, write
