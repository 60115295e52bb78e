"""Commands about item banks: the audit, and growing a bank."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich import get_console

from personascope.experiments.upscale_options import UpscaleOptions

items_app = App(name="items", help="Item banks.")
console = get_console()


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
