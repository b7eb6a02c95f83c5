"""CUDA kernels: their sources, their arguments, and the numbers of building blocks."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..typing import Array, ArrayModule, Call

FOLDER = Path(__file__).with_name("kernels")
HEADERS = "elements.h", "blocks.h"
C_TYPES = {"f4": "float", "f8": "double"}


class PerModel(NamedTuple):
    """An argument whose models lie apart, or are one for all: an array, followed by the numbers between models."""

    array: Array

    def expand(self) -> tuple[Any, ...]:
        """Return the arguments that the kernel gets."""
        array, expected = self.array, self.array.itemsize
        for length, step in zip(array.shape[:0:-1], array.strides[:0:-1], strict=True):
            if length > 1 and step != expected:
                raise ValueError(f"the numbers of a model must lie side by side; got strides {array.strides}")
            expected *= length
        return array, np.int32(0 if len(array) == 1 else array.strides[0] // array.itemsize)


class Matrix(NamedTuple):
    """An argument of any layout: an array ``(rows, columns)``, followed by the numbers between both."""

    array: Array

    def expand(self) -> tuple[Any, ...]:
        """Return the arguments that the kernel gets."""
        return self.array, *(np.int64(step // self.array.itemsize) for step in self.array.strides)


@cache
def source() -> str:
    """Return the source of all kernels, one file after the other."""
    files = [*(FOLDER / name for name in HEADERS), *sorted(FOLDER.glob("*.cu"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def options(dtype: Any) -> tuple[str, ...]:
    """Return how the source is compiled for a float type."""
    return "-std=c++17", f"-DREAL={C_TYPES[np.dtype(dtype).str[1:]]}"


@cache
def numbers_of(enumeration: str) -> dict[str, int]:
    """Return the numbers of an enumeration of the kernels, by name in lower case."""
    (names,) = re.findall(rf"enum {enumeration} {{([^}}]*)}}", source())
    return {name.strip().lower(): number for number, name in enumerate(names.split(","))}


class Kernels:
    """The kernels for one float type, which are compiled when the first one is asked for."""

    def __init__(self, xp: ArrayModule, dtype: Any) -> None:
        self._real = np.dtype(dtype).type
        self._module = xp.RawModule(code=source(), options=options(dtype))
        self._functions: dict[str, Any] = {}

    def launch(self, name: str, grid: Any, block: Any, *arguments: Any) -> Call:
        """Return the call that launches a kernel; a Python int is passed as int32, a float in the float type."""
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        passed = tuple(value for argument in arguments for value in self._passed(argument))
        return partial(self._functions[name], grid, block, passed)

    def _passed(self, argument: Any) -> tuple[Any, ...]:
        if isinstance(argument, PerModel | Matrix):
            return argument.expand()
        if isinstance(argument, float | np.floating):
            return (self._real(argument),)
        if isinstance(argument, np.generic):  # an integer of a chosen width
            return (argument,)
        if isinstance(argument, bool):
            return (np.bool_(argument),)
        if isinstance(argument, int):
            return (np.int32(argument),)
        if not argument.flags.c_contiguous:
            raise ValueError(f"an array must be contiguous; got strides {argument.strides} of shape {argument.shape}")
        return (argument,)
