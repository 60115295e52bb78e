"""What `items upscale` can be told: what to write, who writes, and how much it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Settings of an upscaling run; the help of each is what the command line shows."""

    out: Annotated[Path, Parameter(help="JSONL file of the new bank; answers and candidates are kept beside it.")]
    per_facet: Annotated[int, Parameter(help="New items per facet, half keyed + and half -; an even number.")]
    facets: Annotated[
        tuple[str, ...], Parameter(help="Facets to write for; all by default.", consume_multiple=True, negative="")
    ] = ()
    model: Annotated[
        str | None,
        Parameter(help="Model that writes: alias, folder, .gguf file or hub name; smollm2 where no endpoint is given."),
    ] = None
    endpoint: Annotated[
        str | None, Parameter(help="URL of a server with /v1/chat/completions that writes instead of a local model.")
    ] = None
    endpoint_model: Annotated[str | None, Parameter(help="Name by which that server knows its model.")] = None
    api_key_env: Annotated[str, Parameter(help="Environment variable that holds the server's key.")] = "OPENAI_API_KEY"
    seed_items: Annotated[Path | None, Parameter(help="Item file of exemplars; the built-in bank without it.")] = None
    against: Annotated[
        tuple[Path, ...],
        Parameter(help="File with a `text` field that no new item may repeat; may be given again.", negative=""),
    ] = ()
    budget_calls: Annotated[int | None, Parameter(help="Most answers of the whole run, earlier ones included.")] = None
    budget_tokens: Annotated[int | None, Parameter(help="Most tokens, sent and received, likewise (estimated).")] = None
    batch: Annotated[int, Parameter(help="Statements asked for in one prompt.")] = 10
    seed: Annotated[int, Parameter(help="Of the draws: exemplars, and what the model writes.")] = 0
    allow_licensed: Annotated[
        bool, Parameter(help="Show seed items of source 'licensed' to the model all the same.", negative="")
    ] = False
