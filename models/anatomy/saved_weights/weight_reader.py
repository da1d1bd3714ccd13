"""Opens a file of weights of whatever kind and returns what it holds, without running its code and without copying it.

What torch.save wrote is read with ``weights_only=True`` and mapped into memory, safetensors by its own header. All else,
and what is damaged or made to do harm, is an error of one line that says what it is.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import pickletools
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import UsageError

LONGEST_HEADER = 100_000_000
"""Bytes: what safetensors itself allows."""
LONGEST_PICKLE = 256 << 20
LARGEST_OLD_FILE = 4 << 30
"""Bytes: files of torch before 1.6 cannot be mapped, they are read whole."""
MOST_OPCODES = 5_000_000
MOST_CLASSES_TOLD = 4

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
}

SIGNATURES = (
    (b"\x89HDF", "is an HDF5 file, as Keras writes them"),
    (b"GGUF", "is a GGUF file, weights of a language model"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"\x93NUMPY", "is a NumPy array without names"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself; `git lfs pull` fetches it"),
    (b"<", "is a web page or XML, not a file of weights; was the download refused?"),
    (b"{", "is text, not a file of weights"),
    (b"\x89PNG", "is an image"),
    (b"\xff\xd8\xff", "is an image"),
)
HARMLESS = ("torch._utils.", "torch._tensor.", "torch.serialization.", "collections.OrderedDict", "_codecs.encode")
HARMLESS += ("numpy.dtype", "__builtin__.set", "builtins.set", "__builtin__.bytearray", "builtins.bytearray")
"""How names begin of what torch loads although it is not a tensor; a class of a layer is none of it."""


@dataclass(frozen=True)
class Contents:
    """What a file holds. ``format``: "safetensors", "torch" or "torch before 1.6". ``metadata`` are texts beside it."""

    path: Path
    format: str
    size: int
    state: object
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> Contents:
    """Return the contents of a file of weights. UsageError in one line where it is none."""
    size = _size_of(path)
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from None
    if start.startswith(b"PK"):
        return _zip(path, size)
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header <= max(size, LONGEST_HEADER):
        return _safetensors(path, size, header)
    for signature, what in SIGNATURES:
        if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(signature):
            raise _fault(path, what)
    if _is_text(start):
        raise _fault(path, "is text, not a file of weights; was the download refused?")
    if path.suffix.lower() == ".safetensors":
        raise _fault(path, "is not a safetensors file: it does not begin with a header")
    if path.suffix.lower() == ".onnx" or b"pytorch" in start or b"onnx" in start:
        raise _fault(path, "is an ONNX file, a graph with its weights; files of weights by name are read")
    if start.startswith(b"\x80"):
        return _old_pickle(path, size)
    raise _fault(path, "is not a file of weights: neither what torch.save writes nor safetensors")


def _is_text(start: bytes) -> bool:
    """Return whether a file begins with words: a letter that is cut off at the end is left out."""
    try:
        words = codecs.getincrementaldecoder("utf-8")().decode(start.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError:
        return False
    return words != "" and all(letter.isprintable() or letter.isspace() for letter in words)


def _fault(path: Path, hint: str) -> UsageError:
    return UsageError("file", str(path), hint)


def _size_of(path: Path) -> int:
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise _fault(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise _fault(path, "is a folder; name a file of weights in it")
    if not stat.S_ISREG(found.st_mode):
        raise _fault(path, "is not an ordinary file")
    if found.st_size == 0:
        raise _fault(path, "is empty")
    return found.st_size


def _zip(path: Path, size: int) -> Contents:
    try:
        with zipfile.ZipFile(path) as container:
            members = container.infolist()
            names = {member.filename.partition("/")[2] or member.filename for member in members}
            _check_members(path, size, members, names)
            pickled = next(member for member in members if member.filename.endswith("data.pkl"))
            damaged = container.testzip() if size <= LARGEST_OLD_FILE else None
            program = container.read(pickled)
    except UsageError:
        raise
    except Exception as error:  # a file from elsewhere can make zipfile raise anything
        raise _fault(path, f"is damaged or cut off: {_first_line(error)}") from None
    if damaged is not None:
        raise _fault(path, f"is damaged: {damaged} has changed")
    return Contents(path, "torch", size, _loaded(path, program, mmap=True))


def _check_members(path: Path, size: int, members: list[zipfile.ZipInfo], names: set[str]) -> None:
    if "constants.pkl" in names:
        hint = "is a TorchScript file, a program with its weights; torch.jit.load(FILE).state_dict() gives the weights"
        raise _fault(path, hint)
    if any(name.endswith(".npy") for name in names):
        raise _fault(path, "is a NumPy archive; torch.save or safetensors keep weights by name")
    if "data.pkl" not in names:
        raise _fault(path, "is a zip archive without weights of torch")
    # torch.save stores its members as they are; what is packed, or claims more than the file has, may be endless.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _fault(path, "has packed members, which torch.save does not write; unpack and save it anew")
    if sum(member.file_size for member in members) > size:
        raise _fault(path, "is damaged: its members claim more bytes than the file has")
    if any(member.file_size > LONGEST_PICKLE for member in members if member.filename.endswith(".pkl")):
        raise _fault(path, f"has a description of more than {LONGEST_PICKLE >> 20} MB, too much for weights by name")


def _old_pickle(path: Path, size: int) -> Contents:
    if size > LARGEST_OLD_FILE:
        raise _fault(path, f"is of torch before 1.6 and larger than {LARGEST_OLD_FILE >> 30} GB; load and save it anew")
    return Contents(path, "torch before 1.6", size, _loaded(path, path.read_bytes(), mmap=False))


def _loaded(path: Path, program: bytes, *, mmap: bool) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a file from elsewhere can make torch raise anything
        classes = foreign_classes(program)
        if not classes:
            raise _fault(path, f"is damaged, or no file of weights: {_first_line(error)}") from None
        told = ", ".join(classes[:MOST_CLASSES_TOLD])
        more = f" and {len(classes) - MOST_CLASSES_TOLD} more" if len(classes) > MOST_CLASSES_TOLD else ""
        hint = f"asks for code to be loaded, which is not done: {told}{more}"
        raise _fault(path, f"{hint}; torch.save(network.state_dict(), …) makes a file of weights alone") from None


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return type(error).__name__ if "weights_only" in text or not text else text[:160]


def foreign_classes(program: bytes) -> list[str]:
    """Return the names of classes and functions that a pickle asks for and that torch does not load, without running
    it.
    """
    found: dict[str, None] = {}
    for name in _names_asked_for(program):
        if not _is_harmless(name):
            found[name] = None
    return list(found)


def _is_harmless(name: str) -> bool:
    if name.startswith("torch.nn."):
        return name == "torch.nn.parameter.Parameter"
    module, _, last = name.rpartition(".")
    if module == "torch":
        return last.endswith("Storage") or hasattr(torch, last)
    return name.startswith(HARMLESS)


def _names_asked_for(program: bytes) -> Iterator[str]:
    """The names in the opcodes GLOBAL and STACK_GLOBAL; texts of the latter are the two that were pushed last."""
    at = 0
    for _ in range(8):  # an old file of torch has several pickles, one behind the other
        texts: list[str] = []
        memo: dict[object, str | None] = {}
        end = 0
        top: str | None = None  # the text that was pushed last, None where it was something else
        try:
            for count, (opcode, argument, position) in enumerate(pickletools.genops(program[at:])):
                end = position or 0
                if opcode.name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
                    memo[len(memo) if argument is None else argument] = top
                    continue
                if opcode.name in ("GLOBAL", "INST"):
                    yield str(argument).replace(" ", ".")
                    top = None
                elif opcode.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:])
                    top = None
                elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
                    top = memo.get(argument)
                else:
                    top = argument if isinstance(argument, str) else None
                if top is not None:
                    texts = [*texts[-1:], top]
                if count > MOST_OPCODES:
                    return
            at += end + 1
        except Exception:  # behind the last pickle come numbers, which are none
            return


def _safetensors(path: Path, size: int, header: int) -> Contents:
    if header > LONGEST_HEADER or header > size - 8:
        raise _fault(path, f"is cut off or damaged: its header would have {header:,} bytes, the file has {size:,}")
    with open(path, "rb") as file:
        file.seek(8)
        text = file.read(header)
    try:
        rows = json.loads(text)
        words = rows.pop("__metadata__", None) or {}
        begin = 8 + header
        storage: Any = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
        whole = torch.empty(0, dtype=torch.uint8).set_(storage)
        tensors = {str(name): _mapped(whole, str(name), row, begin) for name, row in rows.items()}
        return Contents(path, "safetensors", size, tensors, {str(key): str(value) for key, value in words.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise _fault(path, f"is damaged: its header cannot be used: {_first_line(error)}") from None


def _mapped(whole: Tensor, name: str, row: dict, begin: int) -> Tensor:
    """Return one tensor of a file that is mapped into memory as bytes. ValueError where it is not in the file."""
    if not isinstance(row["shape"], list):
        raise ValueError(f"{name} has no list of axes")
    dtype, shape = DTYPES.get(row["dtype"]), tuple(map(int, row["shape"]))
    first, last = map(int, row["data_offsets"])
    if dtype is None:
        raise ValueError(f"{name} is of the unknown type {row['dtype']}")
    if min(shape, default=0) < 0 or not 0 <= first <= last <= len(whole) - begin:
        raise ValueError(f"{name} lies outside the file")
    if math.prod(shape) * dtype.itemsize != last - first:
        raise ValueError(
            f"{name} has {last - first} bytes, which do not make {'×'.join(map(str, shape)) or 'a number'}"
        )
    part = whole[begin + first : begin + last]
    if part.storage_offset() % dtype.itemsize:
        part = part.clone()
    return part.view(dtype).reshape(shape)
