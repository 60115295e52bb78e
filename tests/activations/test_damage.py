"""Bit flips and truncations anywhere in a store: refused, or ignored and computed anew, or the numbers are the same."""

import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from activation_fakes import FakeBackend, make_plan, snapshot

from personascope.activations.collect import collect
from personascope.activations.compact import compact
from personascope.activations.store import ActivationStore
from personascope.errors import StoreError

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.faults import flip

PLAN = make_plan(FakeBackend(), rows_per_shard=6)


def everything(folder):
    """All that a store can say, as comparable values."""
    store = ActivationStore.open(folder)
    places = [store.layer(layer, position) for layer in store.layers for position in store.positions]
    numbers = b"".join(np.ascontiguousarray(part).tobytes() for part in places)
    answers = store.option_logprobs.tobytes() + store.other_logmass.tobytes()
    return numbers, answers, store.rows.rows(), store.quarantined.rows(), store.key


class Stores:
    """One store in shards, one in a compact file, and what both must say."""

    def __init__(self, root):
        self.root, self.folders = root, [root / "shards", root / "compact"]
        for folder in self.folders:
            collect(PLAN, FakeBackend(), folder)
        compact(self.folders[1], drop_shards=True)
        self.said = everything(self.folders[0])
        assert everything(self.folders[1]) == self.said
        self.files = snapshot(self.folders[0])

    def trial(self, rng, damage, resumed=0.1):
        """Damage one file; returns what became of it. A share of the damaged stores is resumed, too."""
        folder = rng.choice(self.folders)
        path = rng.choice(sorted(path for path in folder.iterdir() if path.name != "run.lock"))
        image = path.read_bytes()
        where = damage(path, rng)
        try:
            found = everything(folder)
        except StoreError:
            outcome = "refused"
        else:
            outcome = "same numbers"
            assert found == self.said, (path.name, where)
        if path.suffix == ".h5":
            assert outcome == "refused", (path.name, where)  # every byte of a shard is covered by a digest
        if rng.random() < resumed:
            copy = self.root / "resumed"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            self.resume(copy, path, outcome)
        path.write_bytes(image)
        return f"{path.name.split('-')[0]}: {outcome}"

    def resume(self, folder, path, outcome):
        try:
            collect(PLAN, FakeBackend(), folder)
        except StoreError:
            assert (path.name, outcome) == ("plan.json", "refused")
            return
        assert everything(folder) == self.said
        if (folder / "shard-00000.h5").exists():
            found = snapshot(folder)
            assert {name: found[name] for name in self.files if name != "plan.json"}.items() <= self.files.items()


def flips(root, n, seed=0):
    """Outcomes of `n` random single-bit flips."""
    stores, rng = Stores(root), random.Random(seed)
    return Counter(stores.trial(rng, flip) for _ in range(n))


def cut(path, rng):
    length = rng.randrange(0, path.stat().st_size)
    path.write_bytes(path.read_bytes()[:length])
    return length


def test_flipped_bits_are_detected_before_numbers_are_used(tmp_path):
    found = flips(tmp_path, 200)
    assert sum(found.values()) == 200
    assert {"shard: refused", "compact.h5: refused", "manifest.jsonl: same numbers"} <= set(found)


@pytest.mark.slow
def test_ten_thousand_flipped_bits_are_detected_before_numbers_are_used(tmp_path):
    assert sum(flips(tmp_path, 10_000, seed=1).values()) == 10_000


def test_truncated_files_are_detected_before_numbers_are_used(tmp_path):
    stores, rng = Stores(tmp_path), random.Random(0)
    assert sum(Counter(stores.trial(rng, cut) for _ in range(60)).values()) == 60


def truncations(root, step=512):
    """Cut each file of a store at every `step` bytes and at 0; returns the number of cuts."""
    stores, cuts = Stores(root), 0
    for original in stores.folders:
        for name in sorted(path.name for path in original.glob("*.h5")):
            size = (original / name).stat().st_size
            for length in range(0, size, step):
                folder = root / "cut"
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(original, folder)
                (folder / name).write_bytes((original / name).read_bytes()[:length])
                with pytest.raises(StoreError):
                    everything(folder)
                stores.resume(folder, folder / name, "refused")
                cuts += 1
    return cuts


def test_a_file_cut_at_every_512_bytes_is_detected_and_computed_anew(tmp_path):
    assert truncations(tmp_path) >= 20
