"""Capture of the residual stream at all layers: ours against the usual ways, on four workloads.

    W1  questionnaire items, 200 per persona, all but the item shared within a persona
    W2  task pairs in both orders, persona and first task shared
    W3  nothing shared: here nothing can be won, and nothing must be lost
    W4  one very long prompt among many short ones

Last position, float32, SmolLM2-135M-Instruct unless said. Contenders that share nothing pay the same for every row, so
they are timed on a random part of the rows of W1 and W2 (the note says how many), and seconds per row are compared.
"""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import contenders
from benchmarks.gemm import flops_per_token, gemm_rate
from benchmarks.peers.process import PeerProcess, available_peers
from benchmarks.records import (
    Record,
    argument_parser,
    at_least,
    at_most,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from benchmarks.workloads import items, one_long, pairs, unrelated
from personascope.activations.collect import collect
from personascope.activations.plan import Plan, Row
from personascope.models.embedded import is_installed
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.models.tiny import tiny_model, tiny_tokenizer
from personascope.prompts.prompt import Prompt

PARTS = ("w1", "w2", "w3", "w4", "bf16", "gemma", "growth")
TARGETS = {
    "output_hidden_states": 7.0,
    "transformer_lens": 7.0,
    "nnsight": 6.0,
    "tuned hook loop": 4.5,
    "saklas": 4.0,
}
Capture = Callable[[Sequence[Prompt]], object]


@dataclass(frozen=True)
class Peer:
    """A contender: `capture` gives rows (row, layer, d_model), `timed` does the same and may return its own seconds."""

    capture: Callable[[Sequence[Prompt]], Tensor]
    timed: Capture


def hook_loops(engine: HookEngine) -> dict[str, Peer]:
    """Loops on the engine's own model, without a library."""
    loops = {"output_hidden_states": contenders.output_hidden_states, "tuned hook loop": contenders.tuned_hooks}
    return {name: Peer(partial(loop, engine), partial(loop, engine)) for name, loop in loops.items()}


def in_processes(folder: Path | None, stack: contextlib.ExitStack) -> dict[str, Peer]:
    """Contenders that need environments of their own (`python -m benchmarks.peers.environments`)."""
    found = {}
    for name, process in available_peers(folder).items():
        stack.enter_context(process)
        layers = range(process.about.layers)

        def capture(prompts: Sequence[Prompt], process: PeerProcess = process, layers: range = layers) -> Tensor:
            return torch.from_numpy(process.capture([p.ids for p in prompts], layers)[1])

        def timed(prompts: Sequence[Prompt], process: PeerProcess = process, layers: range = layers) -> float:
            return process.capture([p.ids for p in prompts], layers)[0]

        found[name] = Peer(capture, timed)
    return found


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the layer's largest value; a contender may lack the last layer."""
    found, expected = found[:, : expected.shape[1]].double(), expected.double()
    return float(((found - expected).abs() / expected.abs().amax(dim=(0, 2), keepdim=True)).max())


def duel(
    title: str,
    engine: HookEngine,
    prompts: Sequence[Prompt],
    peers: dict[str, Peer],
    options: Namespace,
    *,
    part: int | None = None,
    targets: dict[str, float],
) -> list[Record]:
    """Equality, then interleaved rounds. `part`: how many rows, drawn at random, the peers are timed on.

    In half precision equal means: as near to the peers' float32 as the library's own pass in half precision is, or
    farther by a quarter at most.
    """
    drawn = np.random.default_rng(0).permutation(len(prompts))[: part or len(prompts)]
    some = [prompts[index] for index in sorted(drawn)]
    layers = range(engine.n_layers)
    ours = engine.run(prompts, layers=layers).residuals[sorted(drawn), :, 0]
    records = []
    for name, peer in peers.items():
        expected = peer.capture(some)
        limit = 1e-5
        if engine.dtype.itemsize < 4:
            limit = 1.25 * difference(contenders.output_hidden_states(engine, some).float(), expected)
        records.append(require_equal(f"{title}: equal to {name}", difference(ours, expected), limit))
    before = engine.work.tokens
    rate = gemm_rate(engine)
    runs: dict[str, Callable[[], object]] = {"ours": lambda: engine.run(prompts, layers=layers)}
    runs |= {name: partial(peer.timed, some) for name, peer in peers.items()}
    seconds = interleaved(runs, options.rounds)
    mine = seconds.pop("ours") / len(prompts)
    computed = (engine.work.tokens - before) / options.rounds
    note = f"{len(prompts)} rows" + (f", peer on {len(some)}" if len(some) < len(prompts) else "")
    for name, values in seconds.items():
        records.append(
            show_so_far(ratio(f"{title}: faster than {name}", mine, values / len(some), targets.get(name), note))
        )
    share = flops_per_token(engine) * computed / (mine * len(prompts)) / max(rate, gemm_rate(engine))
    tokens = sum(map(len, prompts))
    note = f"{tokens:,} prompt tokens, {computed:,.0f} computed"
    records.append(
        show_so_far(at_least(f"{title}: share of the GEMM rate", share, 0.75 if title == "W1" else None, note))
    )
    return records


def memory(engine: HookEngine, prompts: Sequence[Prompt]) -> Record:
    """Peak resident memory over what it was before, while W1 is collected into a store."""
    rows = [Row(str(index), prompt, {}) for index, prompt in enumerate(prompts)]
    plan = Plan("W1", rows, range(engine.n_layers), ("answer",), None, engine.fingerprint())
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        before = reset_peak()
        collect(plan, engine, Path(folder) / "store")
        peak = resident("VmHWM") - before
    note = "MB over weights and plan, W1 collected into a store"
    return at_most("W1: peak memory", np.array([peak / 1e6]), 300, note)


def growth(options: Namespace) -> list[Record]:
    """Seconds and memory per row as rows grow 16-fold, in a model so small that overheads are all there is."""
    engine = HookEngine(tiny_model("llama"), tiny_tokenizer(), name="tiny")
    seconds, resident_at = {}, {}
    for n_rows in (1_000, 4_000, 16_000):
        draw = np.random.default_rng(n_rows)
        stems = [tuple(map(int, draw.integers(3, 97, 40))) for _ in range(5)]
        prompts = [Prompt((*stems[i % 5], *map(int, draw.integers(3, 97, 12))), "", {}) for i in range(n_rows)]
        rows = [Row(str(index), prompt, {}) for index, prompt in enumerate(prompts)]
        plan = Plan("growth", rows, range(engine.n_layers), ("answer",), None, engine.fingerprint())
        plan.key()
        with tempfile.TemporaryDirectory() as folder:
            gc.collect()
            before = reset_peak()
            run = lambda folder=folder, plan=plan: collect(plan, engine, Path(folder) / str(os.urandom(4).hex()))  # noqa: E731
            seconds[n_rows] = interleaved({"collect": run}, min(3, options.rounds))["collect"].min() / n_rows
            resident_at[n_rows] = resident("VmHWM") - before
    spread = max(seconds.values()) / min(seconds.values())
    slope = (resident_at[16_000] - resident_at[1_000]) / 15_000
    times = ", ".join(f"{1e3 * value:.2f} ms at {n:,}" for n, value in seconds.items())
    return [
        at_most("growth: seconds per row, largest by smallest", np.array([spread]), 1.10, times),
        at_most("growth: resident bytes per row beyond the plan", np.array([slope]), 1024, "from 1,000 to 16,000 rows"),
    ]


def reset_peak() -> int:
    """Start the peak of resident memory anew; returns resident bytes now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def resident(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Equality first, then the ratios."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--personas", type=int, default=2, help="personas of W1 (at most 5)")
    parser.add_argument("--part", type=int, default=48, help="rows of W1 and W2 on which peers are timed")
    options = parser.parse_args()
    require_quiet(options.busy)
    torch.set_num_threads(2)
    engine = load_model("smollm2")
    w1 = items(engine.tokenizer, options.personas, 200)
    loops = hook_loops(engine)
    records = []
    if "w1" in options.only:
        records.append(show_so_far(memory(engine, w1)))
        with contextlib.ExitStack() as stack:
            libraries = {name: Peer(x.capture, x.capture) for name, x in contenders.libraries(engine).items()}
            peers = {**loops, **libraries, **in_processes(options.peers, stack)}
            records += duel("W1", engine, w1, peers, options, part=options.part, targets=TARGETS)
    tuned = {"tuned hook loop": loops["tuned hook loop"]}
    if "w2" in options.only:
        w2 = pairs(engine.tokenizer, 1, 40)
        records += duel("W2", engine, w2, tuned, options, part=options.part, targets={"tuned hook loop": 2.5})
    if "w3" in options.only:
        w3 = unrelated(100, engine.model.config.vocab_size)
        records += duel("W3", engine, w3, tuned, options, targets={"tuned hook loop": 1.0})
    if "w4" in options.only:
        records += duel("W4", engine, one_long(120, engine.model.config.vocab_size), tuned, options, targets={})
    if "bf16" in options.only:
        half = load_model("smollm2", dtype="bfloat16")
        peers = {"output_hidden_states": loops["output_hidden_states"]}
        title, targets = "W1 in bfloat16", {"output_hidden_states": 14.0}
        records += duel(title, half, w1, peers, options, part=options.part, targets=targets)
    if "gemma" in options.only and is_installed("gemma3-270m"):
        gemma = load_model("gemma3-270m")
        rows = items(gemma.tokenizer, 1, 200)
        title, part, targets = "W1 on Gemma-3-270M", options.part // 2, {"output_hidden_states": 12.0}
        records += duel(title, gemma, rows, hook_loops(gemma), options, part=part, targets=targets)
    if "growth" in options.only:
        records += [show_so_far(record) for record in growth(options)]
    show("capture: residual stream of all layers, last position", records, options.json)


if __name__ == "__main__":
    main()
