"""Read what `torch.save` wrote of plain values and tensors, without an unpickler.

A .pt file is a zip: NAME/data.pkl is a program for pickle's stack machine, NAME/data/KEY holds a tensor's numbers. The
standard library's `pickletools` takes the program apart without running it, and the few instructions that torch.save
uses for dicts, tuples, text, numbers and tensors are carried out here on plain values. Names of functions in the
program are compared with three that are known, and never looked up: nothing is imported, nothing is called.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from personascope.errors import FileFormatError

_DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
}
_REBUILD, _HOOKS = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_AS_IS = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_AXES = 4
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A name that the program mentions: "module name"."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """A flat array of the archive: the numbers behind one or more tensors."""

    numbers: Tensor


def read_archive(path: Path, largest: int) -> object:
    """The value in a .pt file: dicts with text keys, tuples, text, numbers, booleans, None, and tensors on the CPU.

    Args:
        path: the file.
        largest: bytes of the largest file that is read.

    Raises:
        FileFormatError: no such archive, damaged, or its program holds anything else, e.g. a class or a function.
    """
    try:
        if path.stat().st_size > largest:
            raise ValueError(f"it has {path.stat().st_size} bytes, more than {largest}")
        with zipfile.ZipFile(path) as archive:
            return _value(_Archive(archive, largest))
    except (OSError, EOFError, zipfile.BadZipFile, LookupError, TypeError, ValueError, RuntimeError) as error:
        # RuntimeError and EOFError: zipfile's, for encrypted and for cut entries
        raise FileFormatError(
            f"{path}: not an archive of torch.save with plain values and tensors.",
            str(error) or type(error).__name__,
            "Save a dict of dicts with text keys, whose values are tensors, numbers, text and None.",
        ) from error


class _Archive:
    """The entries of the zip, as torch.save writes them: under one folder, and not compressed."""

    def __init__(self, archive: zipfile.ZipFile, largest: int) -> None:
        self._archive = archive
        self._left = largest
        self._storages: dict[tuple[str, str], _Storage] = {}
        self._entries = {info.filename: info for info in archive.infolist()}
        programs = [name for name in self._entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(self._entries) != len(archive.infolist()) or len(programs) != 1:
            raise ValueError("it has not one entry NAME/data.pkl, or two of one name")
        self._folder = programs[0].removesuffix("data.pkl")
        if self._folder + "byteorder" in self._entries and self.read("byteorder") != b"little":
            raise ValueError("its numbers are big-endian")

    def read(self, name: str) -> bytes:
        info = self._entries[self._folder + name]
        if info.compress_type != zipfile.ZIP_STORED:  # a few compressed bytes could stand for gigabytes
            raise ValueError(f"its entry {name[:80]!r} is compressed")
        self._left -= info.file_size  # entries can lie over one another
        if self._left < 0:
            raise ValueError("its entries are larger together than it is")
        return self._archive.read(info)

    def storage(self, identity: Any) -> _Storage:
        """The storage that the program names by ("storage", type, key, device, length)."""
        kind, name, key, _device, length = identity
        if kind != "storage" or type(name) is not _Name or type(key) is not str or type(length) is not int:
            raise ValueError("it refers to something that is no tensor storage")
        if name.text not in _DTYPES:
            raise ValueError(f"it has tensors of type {name.text[:80]!r}")
        if (key, name.text) not in self._storages:
            content = bytearray(self.read(f"data/{key}"))
            numbers = torch.frombuffer(content, dtype=_DTYPES[name.text]) if content else torch.empty(0)
            self._storages[key, name.text] = _Storage(numbers)
        storage = self._storages[key, name.text]
        if len(storage.numbers) != length:
            raise ValueError(f"its storage {key[:80]!r} has {len(storage.numbers)} numbers, not {length}")
        return storage


def _value(archive: _Archive) -> object:
    """Carry out the program on plain values; any instruction that is not listed ends it."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for instruction, argument, _place in pickletools.genops(archive.read("data.pkl")):
        match instruction.name:
            case "PROTO":
                continue
            case "STOP":
                (value,) = stack
                return value
            case name if name in _AS_IS:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(_taken(stack, len(stack) - marks.pop())))
            case name if name in _TUPLES:
                stack.append(tuple(_taken(stack, _TUPLES[name])))
            case "SETITEM":
                _set(_taken(stack, 2), stack[-1])
            case "SETITEMS":
                _set(_taken(stack, len(stack) - marks.pop()), stack[-1])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_known(str(argument)))
            case "BINPERSID":
                stack.append(archive.storage(stack.pop()))
            case "REDUCE":
                function, arguments = _taken(stack, 2)
                stack.append(_result(function, arguments))
            case name:
                raise ValueError(f"its program holds the instruction {name}")
    raise ValueError("its program does not end")


def _taken(stack: list[Any], number: int) -> list[Any]:
    """The last values of the stack, which lose their place there."""
    if not 0 <= number <= len(stack):
        raise ValueError("its program takes what is not there")
    taken = stack[len(stack) - number :]
    del stack[len(stack) - number :]
    return taken


def _set(pairs: list[Any], target: Any) -> None:
    keys, values = pairs[::2], pairs[1::2]
    if type(target) is not dict or len(keys) != len(values) or any(type(key) is not str for key in keys):
        raise ValueError("it has a dict whose keys are not all text")
    target.update(zip(keys, values, strict=True))


def _known(name: str) -> _Name:
    if name not in (_REBUILD, _HOOKS, *_DTYPES):
        raise ValueError(f"its program asks for {name[:80]!r}")
    return _Name(name)


def _result(function: Any, arguments: Any) -> object:
    """What the two functions that are known would give."""
    if function == _Name(_HOOKS) and arguments == ():  # the empty dict of a tensor's hooks
        return {}
    if function != _Name(_REBUILD) or type(arguments) is not tuple:
        raise ValueError("its program calls something that does not make a tensor")
    storage, start, shape, strides, *_gradient = arguments
    whole = (start, *shape, *strides)
    if len(whole) > 1 + 2 * _AXES:
        raise ValueError("it has a tensor of many axes")
    if type(storage) is not _Storage or any(type(number) is not int or number < 0 for number in whole):
        raise ValueError("it has a tensor without numbers")
    dense = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    size = math.prod(shape)
    if tuple(strides) != dense or start + size > len(storage.numbers):
        raise ValueError(f"it has a tensor of shape {shape} with gaps, or larger than its storage")
    return storage.numbers[start : start + size].reshape(shape)
