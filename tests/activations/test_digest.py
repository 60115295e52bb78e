"""The digest of a piece finds every accident that it is there for, and says the same as a plain computation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personascope.activations.digest import PIECE, block_digest, piece_digest, pieces

DRAW = np.random.default_rng(0)


def some_bytes(size):
    return bytearray(DRAW.bytes(size))


def test_it_is_the_published_hash_whatever_holds_the_bytes():
    # XXH3_128bits of the empty input with seed 0, from the reference implementation's sanity vectors
    assert piece_digest(b"").hex() == "99aa06d3014798d86001c324468d497f"
    piece = some_bytes(100_001)
    assert piece_digest(piece) == piece_digest(memoryview(piece)) == piece_digest(bytes(piece))


@settings(max_examples=200)
@given(st.integers(0, 5 * 4096 + 99), st.integers(0, 7))
def test_every_flipped_bit_is_found(place, bit):
    piece = bytearray(np.random.default_rng(place).bytes(5 * 4096 + 100))
    before = piece_digest(piece)
    piece[place] ^= 1 << bit
    assert piece_digest(piece) != before


@pytest.mark.parametrize("flips", [2, 3, 17])
def test_several_flips_are_found(flips):
    piece = some_bytes(64 * 4096)
    before = piece_digest(piece)
    for _ in range(300):
        damaged = bytearray(piece)
        for place in DRAW.choice(len(piece), flips, replace=False):
            damaged[place] ^= 1 << int(DRAW.integers(8))
        assert piece_digest(damaged) != before


@pytest.mark.parametrize("constant", [0, 255])
def test_a_sector_or_page_with_other_content_is_found_also_in_constant_data(constant):
    piece = bytearray([constant]) * (8 * 4096)
    before = piece_digest(piece)
    for size in (512, 4096):
        for place in range(0, len(piece), size):
            damaged = bytearray(piece)
            damaged[place : place + size] = DRAW.bytes(size)
            assert piece_digest(damaged) != before


def test_swapped_words_pages_and_pieces_are_found():
    piece = some_bytes(8 * 4096)
    before = piece_digest(piece)
    for size in (8, 4096):
        for first, second in ((0, 1), (1, 5), (3, 7)):
            swapped = bytearray(piece)
            a, b = slice(first * size, (first + 1) * size), slice(second * size, (second + 1) * size)
            swapped[a], swapped[b] = piece[b], piece[a]
            assert piece_digest(swapped) != before
    one, other = some_bytes(100), some_bytes(100)
    assert block_digest(map(piece_digest, (one, other))) != block_digest(map(piece_digest, (other, one)))


def test_a_cut_or_longer_piece_is_found():
    piece = bytearray(3 * 4096)
    digests = {piece_digest(bytearray(size)) for size in range(0, len(piece) + 2, 8)}
    assert len(digests) == len(range(0, len(piece) + 2, 8))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_cover_a_block_without_gap(size):
    found = pieces(size)
    assert found[0][0] == 0
    assert found[-1][1] == size
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(found))
