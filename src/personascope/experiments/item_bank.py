"""Check an item bank, or let a model write more items of it: what the `items` commands do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from personascope.errors import ModelError
from personascope.experiments.upscale_options import UpscaleOptions
from personascope.files import write_text
from personascope.instruments.audit import Audit, audit, load_source
from personascope.instruments.budget import Budget
from personascope.instruments.items import load_items
from personascope.instruments.upscale import upscale
from personascope.instruments.upscaled import Upscaled, load_seed_items
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine
from personascope.models.generation import generate
from personascope.models.load import load_model
from personascope.prompts.render import render
from personascope.prompts.templates import Template

WRITING = Template(name="write", user="{request}")
_TOKENS_PER_ITEM = 40


def check_bank(file: Path | None, against: Sequence[Path] = (), reasons: Path | None = None) -> Audit:
    """Audit an item file, or the built-in bank, against the texts of other files.

    Args:
        file: item file; None for the built-in bank.
        against: files with a `text` field that no item may repeat.
        reasons: where to write the table of all items with verdict and reasons, as CSV.

    Raises:
        FileFormatError: a file that cannot be read.
    """
    found = audit(load_items(file), sources=[load_source(path) for path in against])
    if reasons is not None:
        write_text(reasons, found.frame().write_csv())
    return found


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
    bank = load_items() if options.seed_items is None else load_seed_items(options.seed_items)
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
