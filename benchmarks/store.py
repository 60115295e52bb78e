"""The store alone: what it adds to the writing and reading of plain bytes, and how its cost grows.

Rows of SmolLM2-135M's size (30 layers of 576 values, one position), from a backend that returns numbers made
beforehand. Files come from and go to the system's cache; every write is synced. The first reading of a layer checks its
digests; the contender, `numpy.memmap` copied to float32, checks nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import h5py
import numpy as np
import torch

from benchmarks.records import Record, arguments, interleaved, ratio, require_equal, show
from personascope.activations.collect import collect
from personascope.activations.compact import compact
from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.models.backend import Outputs
from personascope.prompts.prompt import Prompt

LAYERS, WIDTH, SHARD = 30, 576, 256


class Canned:
    """A backend that costs nothing: the same numbers for every shard, row 0 telling the shards apart."""

    name, n_layers, d_model = "canned", LAYERS, WIDTH

    def __init__(self, dtype: torch.dtype, rows_per_shard: int = SHARD) -> None:
        self.interventions: list[Any] = []
        generator = torch.Generator().manual_seed(0)
        self.values = torch.randn(rows_per_shard, LAYERS, 1, WIDTH, generator=generator).to(dtype)

    def fingerprint(self) -> dict[str, str]:
        """Enough to tell two stores apart."""
        return {"weights": "none", "dtype": str(self.values.dtype)}

    def run(self, prompts: Any, *, layers: Any = (), **_: Any) -> Outputs:
        """Numbers that depend on the first prompt of the batch."""
        n = len(prompts)
        self.values[0] = prompts[0].ids[1] % 251
        return Outputs(self.values[:n, : len(layers)], torch.zeros(n, 0), torch.zeros(n))


def plan_of(n: int, backend: Canned, rows_per_shard: int = SHARD) -> Plan:
    """`n` rows that run in the order of a permutation, so that plan order and shard order differ."""
    order = np.random.default_rng(0).permutation(n)
    rows = [
        Row(f"row-{number:05d}", Prompt((1, int(place)), "", {}), {"item": str(number)})
        for number, place in enumerate(order)
    ]
    context = backend.fingerprint()
    return Plan("benchmark", rows, tuple(range(LAYERS)), ("answer",), None, context, rows_per_shard)


def expected(plan: Plan, backend: Canned, layer: int) -> np.ndarray:
    """What must be read back, from the plan and the canned numbers alone."""
    out = np.empty((len(plan.rows), WIDTH), np.float32)
    for indices in plan.shards():
        rows = backend.values[: len(indices), layer, 0].float().numpy().copy()
        rows[0] = float(torch.tensor(plan.rows[indices[0]].prompt.ids[1] % 251).to(backend.values.dtype))
        out[list(indices)] = rows
    return out


def equality(root: Path) -> list[Record]:
    """Bits in, bits out: from shards and from the compact file, in float32 and bfloat16."""
    wrong = 0
    for dtype in (torch.float32, torch.bfloat16):
        backend = Canned(dtype)
        plan = plan_of(1000, backend)
        folder = root / str(dtype)
        collect(plan, backend, folder)
        for _ in range(2):
            store = ActivationStore.open(folder)
            wrong += sum(
                not np.array_equal(store.layer(layer, "answer"), expected(plan, backend, layer))
                for layer in (0, 7, LAYERS - 1)
            )
            compact(folder, drop_shards=True)
        shutil.rmtree(folder)
    return [require_equal("read equals written, bit for bit (layers that differ)", wrong, 0)]


def writing(root: Path, rounds: int, dtype: torch.dtype, rows_per_shard: int) -> Record:
    """Seconds of a collection against a plain write and sync of as many bytes, file for file."""
    backend = Canned(dtype, rows_per_shard)
    plan = plan_of(4 * rows_per_shard, backend, rows_per_shard)
    payload = backend.values.view(torch.uint8).numpy().tobytes()
    folder, raw = root / "written", root / "raw"

    def ours() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        collect(plan, backend, folder)

    def plain() -> None:
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        for number in range(4):
            with (raw / f"{number}.bin").open("xb", buffering=0) as stream:
                stream.write(payload)
                os.fsync(stream.fileno())

    ours(), plain()
    seconds = interleaved({"ours": ours, "plain": plain}, rounds)
    shutil.rmtree(folder), shutil.rmtree(raw)
    speed = 4 * len(payload) / float(np.median(seconds["ours"])) / 1e6
    name = f"write, {len(payload) / 1e6:.0f} MB shards in {str(dtype)[6:]}, vs write + fsync"
    return ratio(name, seconds["ours"], seconds["plain"], 0.5, f"{speed:.0f} MB/s")


def reading(root: Path, rounds: int, dtype: torch.dtype, n: int) -> list[Record]:
    """One layer of all rows as float32, checked against its digests, vs an unchecked memory map of the same bytes."""
    backend = Canned(dtype)
    plan = plan_of(n, backend)
    folder, raw = root / "read", root / "raw.bin"
    collect(plan, backend, folder)
    disk_type = np.float32 if dtype == torch.float32 else np.uint16
    backend.values.reshape(-1).repeat(-(-n * WIDTH // backend.values.numel()))[: n * WIDTH].view(
        torch.uint8
    ).numpy().tofile(raw)

    def mapped() -> np.ndarray:
        values = np.memmap(raw, disk_type, mode="r", shape=(n, WIDTH))
        if dtype == torch.float32:
            return np.array(values)
        return (values.astype(np.uint32) << 16).view(np.float32)

    records = []
    for kind in ("shards", "compact file"):
        if kind == "compact file":
            compact(folder, drop_shards=True)
        started = perf_counter()
        store = ActivationStore.open(folder)
        store.layer(0, "answer")
        opening = perf_counter() - started
        fresh = iter(range(1, LAYERS))
        contenders = {
            "first": lambda s=store, fresh=fresh: s.layer(next(fresh), "answer"),
            "map": mapped,
            "again": lambda s=store: s.layer(0, "answer"),
        }
        seconds = interleaved(contenders, min(rounds, LAYERS - 1))
        for which in ("first", "again"):
            gbs = n * WIDTH * 4 / float(np.median(seconds[which])) / 1e9
            note = f"{gbs:.2f} GB/s of float32; opening and first layer {opening * 1e3:.0f} ms"
            name = f"read a layer {which} ({'hashed' if which == 'first' else 'known sound'}), {kind}, {str(dtype)[6:]}"
            records.append(ratio(name, seconds[which], seconds["map"], 0.5, note))
    shutil.rmtree(folder), raw.unlink()
    return records


def growth(root: Path, sizes: tuple[int, ...]) -> list[Record]:
    """Bytes, processor seconds and memory per row as the number of rows grows."""
    ratios, seconds, resident = [], [], []
    backend = Canned(torch.bfloat16)
    collect(plan_of(SHARD, backend), backend, root / "warm")
    for n in sizes:
        plan = plan_of(n, backend)
        plan.key()
        folder = root / f"rows{n}"
        times = []
        for _ in range(3):
            shutil.rmtree(folder, ignore_errors=True)
            seen: list[int] = []
            before, started = _written(), process_time()
            collect(plan, backend, folder, progress=lambda _rows, _tokens, seen=seen: seen.append(_resident()))
            times.append((process_time() - started) / n)
        ratios.append((_written() - before) / (n * LAYERS * WIDTH * 2))
        seconds.append(min(times))
        resident.append((seen[-1] - seen[0]) / max(1, n - SHARD))
        shutil.rmtree(folder)
    by_n = ", ".join(f"{n}: {value:.4f}" for n, value in zip(sizes, ratios, strict=True))
    times_by_n = ", ".join(f"{n}: {value * 1e6:.0f} us" for n, value in zip(sizes, seconds, strict=True))
    spread = max(seconds) / min(seconds)
    slope = max(resident[-1], 0.0)
    return [
        Record(
            "bytes written / payload, at most",
            max(ratios),
            min(ratios),
            max(ratios),
            1.02,
            max(ratios) <= 1.02,
            len(sizes),
            by_n,
        ),
        Record(
            "processor time per row, largest / smallest",
            spread,
            1.0,
            spread,
            1.1,
            spread <= 1.1,
            len(sizes),
            times_by_n,
        ),
        Record(
            "resident bytes per row, at most",
            slope,
            min(resident),
            max(resident),
            1024,
            slope <= 1024,
            len(sizes),
            "from first to last shard",
        ),
    ]


def against_rewriting(root: Path, n: int, every: int) -> list[Record]:
    """Bytes written for small rows: ours, an HDF5 file that grows, and `np.savez` of everything at each checkpoint."""
    values = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
    rows = [Row(str(number), Prompt((1, number), "", {}), {}) for number in range(n)]

    class Small(Canned):
        d_model = 64

        def run(self, prompts: Any, **_: Any) -> Outputs:
            part = torch.from_numpy(values[[prompt.ids[1] for prompt in prompts]])[:, None, None]
            return Outputs(part, torch.zeros(len(part), 0), torch.zeros(len(part)))

    small = Small(torch.float32, 1)
    plan = Plan("small", rows, (0,), ("answer",), None, small.fingerprint(), every)
    before = _written()
    store = collect(plan, small, root / "small")
    ours = _written() - before
    wrong = int(not np.array_equal(store.layer(0, "answer"), values))
    before = _written()
    for end in range(every, n + 1, every):
        np.savez(root / "all.npz", values=values[:end], ids=np.arange(end))
    rewritten = _written() - before
    before = _written()
    with h5py.File(root / "growing.h5", "w") as file:
        growing = file.create_dataset("values", (0, 64), "<f4", maxshape=(None, 64), chunks=(64, 64))
        for end in range(every, n + 1, every):
            growing.resize(end, axis=0)
            growing[end - every : end] = values[end - every : end]
            file.flush()
    appended = _written() - before
    note = f"{n} rows of 256 bytes, a checkpoint every {every}"
    return [
        require_equal("small rows come back (0 = yes)", wrong, 0),
        Record(
            "less written than savez checkpoints, times",
            rewritten / ours,
            rewritten / ours,
            rewritten / ours,
            20,
            rewritten >= 20 * ours,
            1,
            note,
        ),
        Record(
            "written, vs growing HDF5 that a kill can ruin",
            appended / ours,
            appended / ours,
            appended / ours,
            None,
            True,
            1,
            note,
        ),
    ]


def _written() -> int:
    """Bytes that this process has handed to the system so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Equality first, then ratios and growth."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="store-", dir=Path.cwd()) as name:
        root = Path(name)
        records = equality(root)
        records += [writing(root, options.rounds, torch.float32, rows) for rows in (SHARD, 4 * SHARD)]
        records += [writing(root, options.rounds, torch.bfloat16, SHARD)]
        for dtype in (torch.float32, torch.bfloat16):
            records += reading(root, options.rounds, dtype, 16_384)
        records += growth(root, (1024, 4096, 16_384))
        records += against_rewriting(root, 16_384, 128)
    show(f"store: rows of {LAYERS} x {WIDTH} values, {len(os.sched_getaffinity(0))} cores", records, options.json)


if __name__ == "__main__":
    main()
