import dataclasses
import itertools
import os

import h5py
import numpy as np
import pytest
import torch
from activation_fakes import FakeBackend, block_values, digest, make_plan, names, residual, temporaries

from personascope.activations.layout import residual_name
from personascope.activations.plan import Plan, Row
from personascope.activations.shard import Shard, shard_path
from personascope.activations.write import write_shard
from personascope.errors import ActivationError, StoreError
from personascope.prompts.prompt import Prompt


def outputs_of(plan, backend, number=0):
    prompts = [plan.rows[index].prompt for index in plan.shards()[number]]
    return backend.run(prompts, layers=plan.layers, positions=plan.positions, options=plan.options)


def with_value(outputs, field, place, value):
    tensor = getattr(outputs, field).clone()
    tensor[place] = value
    return dataclasses.replace(outputs, **{field: tensor})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_shard_returns_the_bits_that_were_written(tmp_path, dtype):
    backend = FakeBackend(dtype=dtype)
    plan = make_plan(backend)
    outputs = outputs_of(plan, backend)
    write_shard(tmp_path, plan.shard(0), outputs)
    shard = Shard.open(shard_path(tmp_path, 0))
    for number, layer in enumerate(plan.layers):
        for place in range(len(plan.positions)):
            read = shard.residuals(layer, place)
            assert read.dtype == np.float32
            assert np.array_equal(read, outputs.residuals[:, number, place].float().numpy())
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    stored = shard.read(residual_name(plan.layers[1], 1))
    assert np.array_equal(
        stored.view(np.int32 if bits == torch.int32 else np.int16),
        outputs.residuals[:, 1, 1].contiguous().view(bits).numpy(),
    )
    assert np.array_equal(shard.read("option_logprobs"), outputs.option_logprobs.numpy())
    assert np.array_equal(shard.read("other_logmass"), outputs.other_logmass.numpy())


def test_bfloat16_beyond_the_range_of_float16_is_kept(tmp_path):
    backend = FakeBackend(
        dtype=torch.bfloat16, edit=lambda out: dataclasses.replace(out, residuals=out.residuals * 1e6)
    )
    plan = make_plan(backend)
    write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    first = plan.rows[plan.shards()[0][0]].prompt
    expected = (residual(first, plan.layers[0], "answer", backend.d_model).bfloat16() * 1e6).float().numpy()
    assert np.array_equal(Shard.open(shard_path(tmp_path, 0)).residuals(plan.layers[0], 0)[0], expected)


def test_plain_h5py_reads_a_shard_without_this_package(tmp_path, plan, backend):
    outputs = outputs_of(plan, backend)
    write_shard(tmp_path, plan.shard(0), outputs)
    with h5py.File(shard_path(tmp_path, 0)) as file:
        assert file["residuals"].chunks is None
        assert np.array_equal(file["residuals"][:], outputs.residuals.permute(1, 2, 0, 3).numpy())
        assert (file.attrs["dtype"], file.attrs["layers"]) == (b"float32", b"[0,3,2]")
        assert file["quarantined"][:].tolist() == [0] * 5
        assert file["digests"][:].tobytes() == b"".join(digest(values.tobytes()) for values in block_values(file))
        assert file["row_index"][:].tolist() == list(plan.shards()[0])
        assert file.attrs["plan_key"].decode() == plan.key()


def test_the_payload_is_what_the_summary_foretold(tmp_path, plan, backend):
    sizes = []
    for number in range(len(plan.shards())):
        write_shard(tmp_path, plan.shard(number), outputs_of(plan, backend, number))
        layout = Shard.open(shard_path(tmp_path, number)).layout
        sizes.append(sum(block.size for block in layout.blocks.values()))
    assert sum(sizes) == plan.summary(backend.d_model, bytes_per_value=4).bytes


def test_the_same_rows_make_the_same_file(tmp_path, plan, backend):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    records = [write_shard(folder, plan.shard(1), outputs_of(plan, backend, 1)) for folder in folders]
    assert records[0] == records[1]
    assert shard_path(folders[0], 1).read_bytes() == shard_path(folders[1], 1).read_bytes()


def test_without_options_all_mass_lies_outside(tmp_path, backend):
    unset = FakeBackend(edit=lambda out: dataclasses.replace(out, other_logmass=torch.full((5,), torch.nan)))
    plan = make_plan(backend, options=None)
    write_shard(tmp_path, plan.shard(0), outputs_of(plan, unset))
    shard = Shard.open(shard_path(tmp_path, 0))
    assert shard.read("option_logprobs").shape == (5, 0)
    assert shard.read("other_logmass").tolist() == [0.0] * 5


def test_the_first_writer_wins(tmp_path, plan, backend):
    first = write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    before = (shard_path(tmp_path, 0).read_bytes(), shard_path(tmp_path, 0).stat().st_ino)
    late = with_value(outputs_of(plan, backend), "residuals", (0, 0, 0, 0), 7.0)
    assert write_shard(tmp_path, plan.shard(0), late) == first
    assert before == (shard_path(tmp_path, 0).read_bytes(), shard_path(tmp_path, 0).stat().st_ino)
    assert names(tmp_path) == ["shard-00000.h5"]


def test_a_late_writer_does_not_acknowledge_a_damaged_or_foreign_shard(tmp_path, plan, backend):
    shard_path(tmp_path, 0).write_bytes(b"half a shard")
    with pytest.raises(StoreError, match="refused as a shard"):
        write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    shard_path(tmp_path, 0).unlink()
    write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    image = bytearray(shard_path(tmp_path, 0).read_bytes())
    image[Shard.open(shard_path(tmp_path, 0)).layout.blocks["residuals/002/1"].offset] ^= 1
    shard_path(tmp_path, 0).write_bytes(image)
    with pytest.raises(StoreError, match="not what was written"):
        write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    shard_path(tmp_path, 0).unlink()
    write_shard(
        tmp_path,
        make_plan(backend, rows_per_shard=6).shard(0),
        outputs_of(make_plan(backend, rows_per_shard=6), backend),
    )
    with pytest.raises(StoreError, match="another plan"):
        write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    assert not temporaries(tmp_path)


@pytest.mark.parametrize(
    ("field", "edit"),
    [
        ("residuals", lambda tensor: tensor[:4]),
        ("residuals", lambda tensor: tensor[:, :2]),
        ("residuals", lambda tensor: tensor[:, :, :1]),
        ("residuals", lambda tensor: tensor[..., 0]),
        ("residuals", lambda tensor: tensor.double()),
        ("option_logprobs", lambda tensor: tensor[:4]),
        ("option_logprobs", lambda tensor: tensor[:, :2]),
        ("option_logprobs", lambda tensor: tensor.double()),
        ("other_logmass", lambda tensor: tensor[:4]),
        ("other_logmass", lambda tensor: tensor.double()),
    ],
)
def test_outputs_of_another_shape_or_type_are_refused(tmp_path, plan, backend, field, edit):
    outputs = outputs_of(plan, backend)
    # Around the constructor, which checks shapes itself when type checks are on.
    object.__setattr__(outputs, field, edit(getattr(outputs, field)))
    with pytest.raises(ActivationError, match="the backend returned"):
        write_shard(tmp_path, plan.shard(0), outputs)
    assert names(tmp_path) == []


@pytest.mark.parametrize("k", range(1, 14))
def test_what_reads_back_differently_is_not_published(tmp_path, plan, backend, monkeypatch, k):
    pwrite, count = os.pwrite, itertools.count(1)

    def damaging(descriptor, data, offset):
        data = bytearray(data)
        if next(count) == k:
            data[len(data) // 2] ^= 1
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", damaging)
    with pytest.raises(StoreError, match="do not read back"):
        write_shard(tmp_path, plan.shard(0), outputs_of(plan, backend))
    assert names(tmp_path) == []


def test_a_block_of_many_pieces_is_written_and_read_in_threads_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(3))
    rows = [Row(str(number), Prompt((1, number), "", {}), {}) for number in range(40)]
    for dtype in (torch.float32, torch.bfloat16):
        backend = FakeBackend(dtype=dtype, d_model=70_001)
        plan = Plan("wide", rows, (0,), ("answer",), None, backend.fingerprint(), rows_per_shard=40)
        outputs = outputs_of(plan, backend)
        folder = tmp_path / str(dtype)
        folder.mkdir()
        write_shard(folder, plan.shard(0), outputs)
        shard = Shard.open(shard_path(folder, 0))
        assert np.array_equal(shard.residuals(0, 0), outputs.residuals[:, 0, 0].float().numpy())
        with h5py.File(shard_path(folder, 0)) as file:
            expected = digest(file["residuals"][...].tobytes()).hex()
        assert shard.layout.blocks["residuals/000/0"].digest == expected
