import json
import logging
import os
import shutil
import stat

import pytest
from activation_fakes import FORGERIES, FakeBackend, forge, make_plan, snapshot

from personascope.activations.collect import collect
from personascope.activations.layout import read_layout
from personascope.activations.manifest import (
    MANIFEST,
    PLAN,
    append_record,
    claim_folder,
    present_shards,
    read_plan_card,
    read_records,
    reconcile,
)
from personascope.activations.shard import ShardRecord, shard_path
from personascope.errors import StoreError

RECORDS = [ShardRecord(number, 5, 4000, f"{number:064x}") for number in range(3)]


@pytest.fixture
def filled(tmp_path, plan, backend):
    """Folder of a complete store of three shards."""
    collect(plan, backend, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def manifest(tmp_path):
    for record in RECORDS:
        append_record(tmp_path, record)
    return tmp_path / MANIFEST


def flipped(image, place, bit=0):
    return image[:place] + bytes([image[place] ^ (1 << bit)]) + image[place + 1 :]


def test_records_are_read_back(manifest):
    assert read_records(manifest.parent) == dict(enumerate(RECORDS))


def test_no_manifest_means_no_records(tmp_path):
    assert read_records(tmp_path) == {}


def test_every_flipped_bit_of_a_line_loses_only_that_line(manifest):
    image = manifest.read_bytes()
    end = image.index(b"\n")
    for place in range(end + 1):
        for bit in range(8):
            manifest.write_bytes(flipped(image, place, bit))
            found = read_records(manifest.parent)
            # A damaged line end spoils the two lines that it parted.
            assert found == ({1: RECORDS[1], 2: RECORDS[2]} if place < end else {2: RECORDS[2]})


def test_a_torn_last_line_is_ignored_and_does_not_swallow_the_next(manifest):
    image = manifest.read_bytes()
    last_line = image.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(last_line, len(image) - 1):
        manifest.write_bytes(image[:length])
        assert sorted(read_records(manifest.parent)) == [0, 1]
        append_record(manifest.parent, ShardRecord(7, 1, 900, "a" * 64))
        assert sorted(read_records(manifest.parent)) == [0, 1, 7]


def test_of_two_lines_for_a_shard_the_last_counts(manifest):
    newer = ShardRecord(1, 5, 4000, "b" * 64)
    append_record(manifest.parent, newer)
    assert read_records(manifest.parent)[1] == newer


@pytest.mark.parametrize("line", [b"[]", b"null", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"shard":1}', b"9" * 10_000])
def test_lines_that_are_no_records_are_ignored(manifest, line):
    manifest.write_bytes(line + b"\n" + manifest.read_bytes())
    assert len(read_records(manifest.parent)) == 3


def test_the_plan_card_says_what_the_folder_is_for(filled, plan):
    card = json.loads((filled / PLAN).read_text())
    assert card == {"key": plan.key(), "fields": plan.fields(), "name": "fake plan"}


def test_every_flipped_bit_of_key_and_fields_in_the_plan_card_is_detected(filled):
    path = filled / PLAN
    image = path.read_bytes()
    card = read_plan_card(filled)
    for place in range(len(image)):
        path.write_bytes(flipped(image, place, place % 8))
        try:
            found = read_plan_card(filled)
        except StoreError:
            pass
        else:  # only the display name and white space are outside of the hash
            assert (found.fields, found.key) == (card.fields, card.key)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"key": 1, "fields": 2, "name": 3}', "[" * 100_000, "\x00"])
def test_a_damaged_plan_card_is_refused(filled, plan, text):
    (filled / PLAN).write_text(text)
    with pytest.raises(StoreError, match="is damaged"):
        reconcile(filled, plan)


def test_a_lost_plan_card_is_written_again_and_the_shards_are_kept(filled, plan):
    before = snapshot(filled)
    (filled / PLAN).unlink()
    assert sorted(reconcile(filled, plan).valid) == [0, 1, 2]
    assert snapshot(filled) == before


def test_another_plan_is_refused_with_each_differing_field_and_both_values(filled, backend):
    context = {**backend.fingerprint(), "dtype": "torch.bfloat16", "items": "c" * 64}
    other = make_plan(FakeBackend(), layers=(0, 3), context=context)
    before = snapshot(filled)
    with pytest.raises(StoreError) as caught:
        claim_folder(filled, other)
    message = str(caught.value)
    assert "layers is [0,3,2] there and [0,3] now" in message
    assert "dtype is torch.float32 there and torch.bfloat16 now" in message
    assert f"items is {'a' * 40}...(64 characters) there" in message
    assert "positions" not in message
    assert snapshot(filled) == before


def test_a_field_that_one_side_lacks_is_called_absent(filled, backend):
    with pytest.raises(StoreError, match=r"items is a+\.\.\.\(64 characters\) there and \(absent\) now"):
        claim_folder(filled, make_plan(backend, context=backend.fingerprint()))


def test_a_plan_with_another_name_only_is_the_same_plan(filled, backend):
    claim_folder(filled, make_plan(backend, name="renamed"))


def test_a_sound_folder_is_left_as_it_is(filled, plan):
    before = {path.name: path.read_bytes() for path in filled.iterdir()}
    found = reconcile(filled, plan)
    assert (sorted(found.valid), found.adopted, found.discarded, found.strays) == ([0, 1, 2], (), {}, ())
    assert {path.name: path.read_bytes() for path in filled.iterdir()} == before


def test_a_valid_shard_that_the_manifest_lacks_is_adopted(filled, plan):
    records = read_records(filled)
    lines = (filled / MANIFEST).read_bytes().splitlines(keepends=True)
    (filled / MANIFEST).write_bytes(lines[0] + lines[2])
    assert reconcile(filled, plan).adopted == (1,)
    assert read_records(filled) == records


def test_without_a_manifest_every_valid_shard_is_adopted(filled, plan):
    records = read_records(filled)
    (filled / MANIFEST).unlink()
    assert reconcile(filled, plan).adopted == (0, 1, 2)
    assert read_records(filled) == records


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_shard_with_a_flipped_bit_is_discarded_with_a_word(filled, plan, acknowledged, caplog):
    if not acknowledged:
        (filled / MANIFEST).unlink()
    path = shard_path(filled, 1)
    path.write_bytes(flipped(path.read_bytes(), read_layout(path).blocks["residuals/003/0"].offset + 3))
    with caplog.at_level(logging.WARNING):
        found = reconcile(filled, plan)
    assert sorted(found.valid) == [0, 2]
    assert "'residuals/003/0' is not what was written" in found.discarded[1]
    assert "shard-00001.h5" in caplog.text
    assert not path.exists()


def test_a_truncated_shard_is_discarded(filled, plan):
    image = shard_path(filled, 0).read_bytes()
    for length in (0, 1, 512, len(image) - 1):
        shard_path(filled, 0).write_bytes(image[:length])
        assert sorted(reconcile(filled, plan).discarded) == [0]
        assert present_shards(filled) == [1, 2]


def test_a_link_in_a_shards_place_is_removed_without_touching_its_target(filled, plan, tmp_path):
    target = tmp_path / "elsewhere.h5"
    shutil.move(shard_path(filled, 0), target)
    before = target.read_bytes()
    shard_path(filled, 0).symlink_to(target)
    assert sorted(reconcile(filled, plan).discarded) == [0]
    assert target.read_bytes() == before


def test_a_renamed_shard_is_discarded(filled, plan):
    shutil.copy(shard_path(filled, 0), shard_path(filled, 1))
    found = reconcile(filled, plan)
    assert sorted(found.discarded) == [1]
    assert "is not the shard that is planned here" in found.discarded[1]


def test_a_whole_shard_of_another_plan_is_refused_and_nothing_is_deleted(filled, backend, tmp_path):
    (filled / PLAN).unlink()
    shard_path(filled, 2).write_bytes(b"damaged")
    other = make_plan(backend, layers=(0,))
    with pytest.raises(StoreError, match=r"shard-00000\.h5 belongs to another plan"):
        reconcile(filled, other)
    assert present_shards(filled) == [0, 1, 2]


def test_a_shard_beyond_the_plan_is_refused(filled, plan):
    shutil.copy(shard_path(filled, 0), shard_path(filled, 3))
    with pytest.raises(StoreError, match="plan, which has 3 shards"):
        reconcile(filled, plan)


def test_only_the_shards_own_names_count(filled):
    for name in ("shard-1.h5", "shard-0000003.h5", "shard-00004.h5.bak", "xshard-00005.h5"):
        (filled / name).write_bytes(b"")
    assert present_shards(filled) == [0, 1, 2]


def test_a_plan_card_is_written_once_even_by_two_writers(tmp_path, plan, backend):
    claim_folder(tmp_path, plan)
    inode = (tmp_path / PLAN).stat().st_ino
    claim_folder(tmp_path, plan)
    assert (tmp_path / PLAN).stat().st_ino == inode


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_shard_with_sound_digests_is_discarded(filled, plan, forgery):
    (filled / MANIFEST).unlink()
    forge(shard_path(filled, 1), FORGERIES[forgery])
    assert "is not the shard that is planned" in reconcile(filled, plan).discarded[1]


def test_the_folder_is_synced_before_an_adopted_shard_is_acknowledged(filled, plan, monkeypatch):
    (filled / MANIFEST).unlink()
    kinds, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (kinds.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), fsync(fd))
    )
    reconcile(filled, plan)
    assert kinds == ["folder", "file", "folder", "file", "file"]
