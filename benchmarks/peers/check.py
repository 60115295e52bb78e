"""Every peer once, on a few prompts: does it answer as ours does? `python -m benchmarks.peers.check --peers FOLDER`.

Not a benchmark: eight prompts and one round say that the calls mean the same, and roughly what they cost.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.capture import difference
from benchmarks.peers.process import PeerProcess, available_peers
from benchmarks.workloads import items
from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.models.load import load_model
from personascope.models.sweep import sweep
from personascope.prompts.labels import resolve_options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt
from personascope.prompts.templates import likert_template

LIMIT = 1e-5
LAYERS = (10, 20)
COEFFICIENTS = (-4.0, 4.0)
WHERES = ("all", "from:item", "answer")


def sweep_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of log-probabilities (row, cell, option), relative to the largest absolute one."""
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def first_steered(rows: list[Prompt], where: str) -> list[int]:
    """The first token of each row that `where` names ("all", "answer", "from:SPAN")."""
    return [resolve(row, where)[0] for row in rows]


def check(peer: PeerProcess, engine: HookEngine, rows: list[Prompt]) -> list[tuple[str, float, float, float]]:
    """(what, relative difference, our seconds, their seconds) of capture and of a sweep at each kind of position."""
    ids = [row.ids for row in rows]
    layers = range(peer.about.layers)
    started = perf_counter()
    ours = engine.run(rows, layers=layers).residuals[:, :, 0]
    our_seconds = perf_counter() - started
    seconds, theirs = peer.capture(ids, layers)
    found = [("capture", difference(torch.from_numpy(theirs), ours), our_seconds, seconds)]
    template = likert_template("ascending")
    options = resolve_options(engine.tokenizer, template.answer_prefix, template.labels)
    generator = np.random.default_rng(0)
    vectors = {layer: generator.standard_normal(ours.shape[2]).astype(np.float32) for layer in LAYERS}
    for where in WHERES if peer.about.positions == "any" else WHERES[:1]:
        cells = [
            (Intervention(layer, coefficient * vector, where),)
            for layer, vector in vectors.items()
            for coefficient in COEFFICIENTS
        ]
        started = perf_counter()
        answers = sweep(engine, rows, cells, options).option_logprobs.numpy()
        our_seconds = perf_counter() - started
        seconds, cell_row = peer.sweep(
            ids, vectors, COEFFICIENTS, options.token_ids, first_steered=first_steered(rows, where)
        )
        apart = sweep_difference(answers, cell_row.transpose(1, 0, 2))
        found.append((f"sweep, {where}", apart, our_seconds, seconds))
    return found


def main() -> int:
    """Exits 1 when a peer's answers differ from ours by more than 1e-5."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="peers to check; all by default")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder of environments (default .peers)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--rows", type=int, default=8, help="prompts (default 8)")
    options = parser.parse_args()
    engine = load_model("smollm2", threads=options.threads)
    rows = items(engine.tokenizer, 1, options.rows)
    table = Table("peer", "call", "difference", "equal", "ours s", "theirs s", "note", title=f"{len(rows)} prompts")
    equal = True
    for name, process in available_peers(options.peers).items():
        if options.names and name not in options.names:
            continue
        with process as peer:
            label = f"{name} {peer.about.versions[name]}"
            for call, apart, ours, theirs in check(peer, engine, rows):
                ok = apart <= LIMIT
                equal &= ok
                note = peer.about.note if call == "capture" else ""
                table.add_row(label, call, f"{apart:.1e}", "yes" if ok else "NO", f"{ours:.2f}", f"{theirs:.2f}", note)
    Console(width=160).print(table)
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
