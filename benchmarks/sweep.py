"""Steering sweeps: ten layers by seven coefficients, ours against loops that start anew for every cell.

    W5i  questionnaire items of one persona (a long shared prefix, a short item)
    W5p  task pairs in both orders (both tasks steered: a long suffix)

each steered at the answer position, at the suffix (from the item or the first task on), or at all positions. The loops
pay the same for every cell, so they are timed on some of the cells, and seconds per cell and row are compared. What is
read is the exact distribution over the options, by everyone.
"""

from __future__ import annotations

import contextlib
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
from benchmarks.peers.check import first_steered
from benchmarks.peers.process import PeerProcess, available_peers
from benchmarks.records import (
    Record,
    argument_parser,
    at_least,
    interleaved,
    ratio,
    require_equal,
    require_quiet,
    show,
    show_so_far,
)
from benchmarks.workloads import items, pairs
from personascope.direction import Direction
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell
from personascope.models.load import load_model
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options, resolve_options
from personascope.prompts.prompt import Prompt
from personascope.steering.interventions import add

LAYERS = tuple(range(2, 30, 3))
COEFFICIENTS = (-0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15)
TIMED = ((5, 0.1), (20, -0.1))
"""The cells on which the loops are timed and compared: a low and a high layer."""
TARGETS = {
    ("W5i", "suffix"): {"transformer_lens": 12.0, "nnsight": 12.0, "tuned hook loop": 7.0},
    ("W5i", "answer"): {"tuned hook loop": 30.0},
    ("W5p", "answer"): {"tuned hook loop": 30.0},
}
LIMIT = 1e-4
"""Largest difference of a log-probability; a choice that flips moves it by tenths."""


@dataclass(frozen=True)
class Peer:
    """`sweep(prompts, cells, where, options)` gives (cell, row, option); `timed` does it and may return its seconds."""

    sweep: Callable[..., Tensor]
    timed: Callable[..., object]
    only_all: bool = False


def in_process(engine: HookEngine) -> dict[str, Peer]:
    """Loops on the engine's own weights."""
    loops: dict[str, Callable[..., Tensor]] = {"tuned hook loop": partial(contenders.tuned_sweep, engine)}
    loops |= {name: library.sweep for name, library in contenders.libraries(engine).items()}
    return {name: Peer(loop, loop) for name, loop in loops.items()}


def in_processes(folder: Path | None, stack: contextlib.ExitStack) -> dict[str, Peer]:
    """Peers that need environments of their own."""
    found = {}
    for name, process in available_peers(folder).items():
        stack.enter_context(process)

        def both(
            prompts: Sequence[Prompt],
            cells: Sequence[tuple[int, np.ndarray]],
            where: str,
            options: Options,
            process: PeerProcess = process,
        ) -> tuple[float, Tensor]:
            starts, ids = first_steered(list(prompts), where), [prompt.ids for prompt in prompts]
            parts = [
                process.sweep(ids, {layer: v}, [1.0], options.token_ids, first_steered=starts) for layer, v in cells
            ]
            return sum(seconds for seconds, _ in parts), torch.from_numpy(np.concatenate([x for _, x in parts]))

        found[name] = Peer(
            sweep=lambda *a, both=both: both(*a)[1],
            timed=lambda *a, both=both: both(*a)[0],
            only_all=process.about.positions == "all",
        )
    return found


def duel(
    title: str, engine: HookEngine, prompts: Sequence[Prompt], where: str, peers: dict[str, Peer], options: Namespace
) -> list[Record]:
    """Equality, then interleaved rounds, at one kind of position."""
    kind = "suffix" if where.startswith("from:") else where
    name = f"{title} {kind}"
    labels = ["1", "2", "3", "4", "5"] if title == "W5i" else ["A", "B"]
    answers = resolve_options(engine.tokenizer, prompts[0].text.splitlines()[-1], labels)
    along = directions(engine, prompts)
    grid = [(layer, c) for layer in LAYERS for c in COEFFICIENTS]
    cells: list[Cell] = [(add(c * along[layer], where),) if c else () for layer, c in grid]
    some = [(layer, (c * along[layer]).offset()) for layer, c in TIMED]
    ours = sweep(engine, prompts, cells, answers).option_logprobs
    same = ours[:, [grid.index(cell) for cell in TIMED]].transpose(0, 1)
    peers = {peer: calls for peer, calls in peers.items() if where == "all" or not calls.only_all}
    records = []
    for peer, calls in peers.items():
        found = calls.sweep(prompts, some, where, answers)
        records.append(require_equal(f"{name}: equal to {peer}", float((found - same).abs().max()), LIMIT))
    rate, before = gemm_rate(engine), engine.work.block_tokens
    runs: dict[str, Callable[[], object]] = {"ours": lambda: sweep(engine, prompts, cells, answers)}
    runs |= {peer: partial(calls.timed, prompts, some, where, answers) for peer, calls in peers.items()}
    seconds = interleaved(runs, options.rounds)
    mine = seconds.pop("ours") / len(cells)
    note = f"{len(prompts)} rows, {len(cells)} cells, peer on {len(some)}"
    for peer, values in seconds.items():
        target = TARGETS.get((title, kind), {}).get(peer)
        records.append(show_so_far(ratio(f"{name}: faster than {peer}", mine, values / len(some), target, note)))
    blocks = (engine.work.block_tokens - before) / options.rounds
    share = flops_per_token(engine) / engine.n_layers * blocks / (mine * len(cells)) / max(rate, gemm_rate(engine))
    records.append(
        show_so_far(at_least(f"{name}: share of the GEMM rate", share, None, f"{blocks:,.0f} tokens by blocks"))
    )
    return records


def directions(engine: HookEngine, prompts: Sequence[Prompt], layers: Sequence[int] = LAYERS) -> dict[int, Direction]:
    """Random directions; strength 1 is as long as the mean residual stream of the layer at the answer."""
    norms = engine.run(prompts, layers=layers).residuals[:, :, 0].norm(dim=-1).mean(dim=0)
    draw = np.random.default_rng(0)
    return {
        layer: Direction(
            draw.normal(size=engine.d_model), layer, "answer", engine.name, float(norm), "nothing", "random"
        )
        for layer, norm in zip(layers, norms, strict=True)
    }


def main() -> None:
    """Equality first, then the ratios."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=("w5i", "w5p"), default=("w5i", "w5p"), help="workloads")
    parser.add_argument("--where", nargs="+", choices=("answer", "suffix", "all"), default=("answer", "suffix", "all"))
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--items", type=int, default=8, help="items of W5i")
    parser.add_argument("--tasks", type=int, default=3, help="tasks of W5p, each against two others in both orders")
    options = parser.parse_args()
    require_quiet(options.busy)
    torch.set_num_threads(2)
    engine = load_model("smollm2")
    records = []
    with contextlib.ExitStack() as stack:
        peers = {**in_process(engine), **in_processes(options.peers, stack)}
        for where in options.where:
            if "w5i" in options.only:
                position = "from:item" if where == "suffix" else where
                rows = items(engine.tokenizer, 1, options.items)
                records += duel("W5i", engine, rows, position, peers, options)
            if "w5p" in options.only:
                position = "from:task_a" if where == "suffix" else where
                rows = pairs(engine.tokenizer, 1, options.tasks, degree=2)
                records += duel("W5p", engine, rows, position, peers, options)
    show("sweep: 10 layers x 7 coefficients", records, options.json)


if __name__ == "__main__":
    main()
