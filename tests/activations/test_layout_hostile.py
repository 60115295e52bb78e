"""Hostile files: every one is refused for what it does."""

import os
import struct

import h5py
import numpy as np
import pytest
from activation_fakes import forge, remake

from personascope.activations.layout import read_layout
from personascope.activations.shard import Shard
from personascope.errors import StoreError


def replace(path, name, **how):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        values = file[name][:]
        del file[name]
        file.create_dataset(name, **{"data": values, **how})


def link(path, name, target):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file[name]
        file[name] = target


def external_link(path):
    other = path.with_name("other.h5")
    other.write_bytes(path.read_bytes())
    link(path, "token_ids", h5py.ExternalLink(str(other), "/token_ids"))


def external_link_to_the_group(path):
    other = path.with_name("other.h5")
    other.write_bytes(path.read_bytes())
    link(path, "residuals", h5py.ExternalLink(str(other), "/residuals"))


def soft_link(path):
    link(path, "other_logmass", h5py.SoftLink("/option_logprobs"))


def external_storage(path):
    secret = path.with_name("secret.bin")
    secret.write_bytes(b"s" * 64)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["row_index"]
        file.create_dataset("row_index", (2,), "<i8", external=[(str(secret), 0, 16)])


def virtual_dataset(path):
    other = path.with_name("other.h5")
    other.write_bytes(path.read_bytes())
    layout = h5py.VirtualLayout((2,), "<i8")
    layout[:] = h5py.VirtualSource(str(other), "row_index", (2,))
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["row_index"]
        file.create_virtual_dataset("row_index", layout)


def object_type(path):
    values = np.array(["a", "b"], dtype=object)
    replace(path, "row_index", data=values, dtype=h5py.string_dtype())


def variable_length_type(path):
    replace(path, "row_index", data=None, shape=(2,), dtype=h5py.vlen_dtype(np.int64))


def reference_type(path):
    replace(path, "row_index", data=None, shape=(2,), dtype=h5py.ref_dtype)


def compound_type(path):
    replace(path, "row_index", data=np.zeros(2, dtype=[("a", "<i8")]))


def gzip_filter(path):
    replace(path, "row_index", compression="gzip")


def chunks(path):
    replace(path, "row_index", chunks=(1,))


def other_number_type(path):
    replace(path, "row_index", dtype="<i4")


def other_byte_order(path):
    replace(path, "row_index", dtype=">i8")


def shape_bomb(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["token_ids"]
        file.create_dataset("token_ids", (2, 10**15), "<i8")


def empty_shape_bomb(path):
    """Terabytes of positions of which none holds a byte."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        for name, shape in (("residuals", (1, 10**15, 2, 0)), ("token_ids", (0, 10**15))):
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, shape, kind)


def offset_beyond_the_file(path):
    old_format(path, "row_index", lambda places: places["end"] - 8)


def old_format(path, name, new_place):
    """The same file in the old format, whose metadata have no checksums, with one address changed."""
    old = path.with_name("old.h5")
    with h5py.File(path) as source, h5py.File(old, "w", libver=("earliest", "v110")) as target:
        target.attrs.update(source.attrs)
        for member in source:
            target.create_dataset(member, data=source[member][...])
        places = {name: dataset.id.get_offset() for name, dataset in target.items()}
        address, size = places[name], target[name].id.get_storage_size()
    entry = struct.pack("<QQ", address, size)
    image = old.read_bytes()
    assert image.count(entry) == 1
    path.write_bytes(image.replace(entry, struct.pack("<QQ", new_place({**places, "end": len(image)}), size)))


def unequal_rows(path):
    replace(path, "row_index", data=np.arange(1))


def another_axis(path):
    replace(path, "row_index", data=np.zeros((2, 1), dtype=np.int64))


def unknown_member(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["extra"] = np.zeros(2)


def another_quarantine(path):
    replace(path, "quarantined", data=np.zeros(2, dtype=np.float32))


def too_few_digests(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        digests = file["digests"][:-1]
    replace(path, "digests", data=digests)


def set_attribute(path, name, value):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs[name] = value


def layers_that_are_none(path):
    set_attribute(path, "layers", np.bytes_("[1e3]"))


def repeated_layers(path):
    replace(path, "residuals", data=np.zeros((2, 1, 2, 4), np.float32))
    set_attribute(path, "layers", np.bytes_("[0,0]"))


def overlapping_datasets(path):
    """In the old format, whose metadata have no checksums, one dataset is laid over another."""
    old_format(path, "row_index", lambda places: places["token_ids"])


def bytes_of_no_dataset(path):
    with path.open("ab") as stream:
        stream.write(b"x" * (1 << 21))


def group_for_dataset(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["row_index"]
        file.create_group("row_index")


def group_for_residuals(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["residuals"]
        file.create_group("residuals")


def missing_member(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["rows"]


def attribute_on_a_dataset(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["rows"].attrs["extra"] = 1


def unknown_attribute(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["extra"] = 1


def variable_length_attribute(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["plan_key"] = "k" * 64


def long_attribute(path):
    set_attribute(path, "plan_key", np.bytes_("k" * 10_000))


def array_attribute(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["shard"] = np.zeros(3, dtype=np.int64)


def another_schema(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["schema"] = np.bytes_("personascope-shard-0")


def unknown_value_type(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["dtype"] = np.bytes_("float8")


def value_type_of_another_size(path):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.attrs["dtype"] = np.bytes_("bfloat16")


def symbolic_link(path):
    other = path.with_name("other.h5")
    path.rename(other)
    path.symlink_to(other)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def text_file(path):
    path.write_text("not HDF5")


HOSTILE = {
    external_link: "link",
    external_link_to_the_group: "link",
    soft_link: "link",
    external_storage: "outside the file",
    virtual_dataset: "virtual",
    object_type: "objects",
    variable_length_type: "objects",
    reference_type: "objects",
    compound_type: "plain numbers",
    gzip_filter: "filtered",
    chunks: "chunked",
    other_number_type: "int32",
    other_byte_order: "not <i8",
    shape_bomb: "beyond the file",
    offset_beyond_the_file: "beyond the file|invalid dataset size",
    unequal_rows: "belong together",
    another_axis: "1 axes",
    unknown_member: "unknown: .'extra'",
    another_quarantine: "'quarantined' is float32",
    too_few_digests: "belong together",
    layers_that_are_none: "layers are not a list",
    repeated_layers: "belong together",
    overlapping_datasets: "overlap",
    bytes_of_no_dataset: "belong to no dataset",
    empty_shape_bomb: "belong together",
    group_for_dataset: "not a dataset",
    group_for_residuals: "not a dataset",
    missing_member: "missing: .'rows'",
    unknown_attribute: "attributes",
    attribute_on_a_dataset: "attributes",
    variable_length_attribute: "short text",
    long_attribute: "short text",
    array_attribute: "short text",
    another_schema: "schema",
    unknown_value_type: "unknown type",
    value_type_of_another_size: "not <u2",
    symbolic_link: "a link",
    pipe: "device",
    folder: "folder",
    text_file: "damaged or not a shard",
}


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda attack: attack.__name__)
def test_a_hostile_file_is_refused_for_what_it_does(small, attack):
    attack(small)
    with pytest.raises(StoreError, match="(?i)" + HOSTILE[attack]):
        read_layout(small)


@pytest.mark.parametrize(
    "rows",
    [
        b"[1, 2]",
        b"[]",
        b'[{"id": "a", "meta": {}}]',
        b"{}",
        b"[" * 90_000,
        b"\xff",
        b'[{"id":1,"meta":{}}]',
        b'[{"id":"a","meta":{},"quarantined":1},{"id":"b","meta":{}}]',
    ],
)
def test_a_list_of_rows_that_is_none_is_refused(small, rows):
    forge(small, lambda file: remake(file, "rows", np.frombuffer(rows, np.uint8)))
    with pytest.raises(StoreError, match="list of rows"):
        Shard.open(small).rows()
