"""Damaged files: every one is refused, or its numbers are the ones that were written."""

import os

import pytest

from personascope.activations.layout import read_layout
from personascope.activations.shard import Shard
from personascope.errors import StoreError


def contents(path):
    """All numbers and texts of a shard, by name, if it is accepted."""
    shard = Shard.open(path)
    shard.verify()
    layout = shard.layout
    values = {name: shard.read(name).tobytes() for name in layout.blocks}
    values["residuals"] = shard.residuals(layout.layers[0], 0).tobytes()
    return layout.plan_key, layout.shard, values, shard.rows()


def payload_bytes(path):
    blocks = read_layout(path).blocks.values()
    return [place for block in blocks for place in range(block.offset, block.offset + block.size)]


def test_a_valid_shard_is_accepted(small):
    assert contents(small)[1] == 0


def check_flips_of_the_payload(path, bits):
    image, places = path.read_bytes(), payload_bytes(path)
    assert len(places) > 100
    for place in places:
        for bit in bits(place):
            damaged = bytearray(image)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(StoreError):
                contents(path)


def test_a_flipped_bit_in_any_byte_of_the_payload_is_detected(small):
    check_flips_of_the_payload(small, lambda place: [place % 8])


@pytest.mark.slow
def test_every_flipped_bit_of_the_payload_is_detected(small):
    check_flips_of_the_payload(small, lambda _: range(8))


def check_flips_outside_the_payload(path, step, bits):
    image, expected = path.read_bytes(), contents(path)
    outside = sorted(set(range(len(image))) - set(payload_bytes(path)))
    for place in outside[::step]:
        for bit in bits(place):
            damaged = bytearray(image)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = contents(path)
            except StoreError:
                continue
            assert found == expected, (place, bit)


def test_a_flipped_bit_outside_the_payload_is_detected_or_changes_no_number(small):
    check_flips_outside_the_payload(small, step=5, bits=lambda place: [place % 8])


@pytest.mark.slow
def test_a_flipped_bit_in_any_byte_outside_the_payload_is_detected_or_changes_no_number(small):
    check_flips_outside_the_payload(small, step=1, bits=lambda place: [place % 8, (place + 3) % 8])


def test_every_truncation_is_detected(small):
    image = small.read_bytes()
    for length in range(0, len(image), 7):
        small.write_bytes(image[:length])
        with pytest.raises(StoreError):
            contents(small)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_layout(tmp_path / "shard-00000.h5")


def test_running_out_of_descriptors_is_not_called_damage(small):
    held = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.open(small, os.O_RDONLY))
        with pytest.raises(OSError, match="Too many open files"):
            read_layout(small)
        os.close(held.pop())
        assert read_layout(small).n_rows == 2
    finally:
        for descriptor in held:
            os.close(descriptor)
