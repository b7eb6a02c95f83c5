"""CuPy arrays, with CUDA kernels where one launch pays, and products by cuBLAS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

from .. import reference
from ..typing import Array, ArrayModule, Call
from . import launches
from .products import PRECISIONS, Products
from .ring import Ring
from .sources import Kernels

SHARE_OF_DATA = 0.6  # of free memory; the rest is for parameters, slots of optimisers, and buffers
LITTLE = 2**20  # bytes for which asking how much memory is free takes longer than bringing them
OUT_OF_MEMORY = (
    "ALLOC_FAILED",
    "MemoryAllocation",
    "OUT_OF_MEMORY",
    "out of memory",
)  # in messages of CUDA and its libraries
INSTALL_LINE = "pip install sknn[gpu-cuda12] (or sknn[gpu-cuda13] for CUDA 13)"


class Backend(reference.Backend):
    """The definitions on CuPy, replaced by launches of kernels where there are any."""

    name = "cupy"
    on_host = False
    precisions = tuple(PRECISIONS)
    # a launch costs more than a block of a CPU's cache has work
    block_elements = chunk_elements = product_elements = 2**24
    segment_elements = 2**40

    def __init__(self, xp: ArrayModule, precision: str = "float32") -> None:
        super().__init__(xp)
        self.product = Products(xp, precision, self.pointer).call
        self._kernels = cache(lambda dtype: Kernels(xp, dtype))
        self.fused = {operation: partial(make, self) for operation, make in launches.FUSED.items()}

    # ---- arrays at the door -------------------------------------------------------------

    def to_host(self, array: Array) -> Array:
        return self.xp.asnumpy(array)

    def holds(self, array: Any) -> bool:
        return isinstance(array, self.xp.ndarray)

    def has_room(self, n_bytes: int) -> bool:
        return n_bytes <= LITTLE or n_bytes <= SHARE_OF_DATA * self._free_bytes()

    def has_room_for_copy(self, array: Array) -> bool:
        return self.holds(array) and self.has_room(array.nbytes)

    def _free_bytes(self) -> int:
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return free + self.xp.get_default_memory_pool().free_bytes()

    @contextmanager
    def explained_memory_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            self.xp.get_default_memory_pool().free_all_blocks()
            raise MemoryError(
                f"backend='cupy' ran out of memory on the GPU, of which {self._free_bytes() / 2**20:.0f} MiB are free "
                f"now: {error} Use float32 instead of float64, fewer rows per call, a smaller batch_size or smaller "
                "layers; delete other arrays on the GPU; or choose backend='numpy'."
            ) from error

    def ring(self, shape: tuple[int, ...], dtype: Any) -> Ring:
        return Ring(self.xp, shape, dtype)

    # ---- kernels and plans --------------------------------------------------------------

    @staticmethod
    def pointer(array: Array) -> int:
        """Return where an array begins on the device."""
        return array.data.ptr  # type: ignore[attr-defined]  # CuPy's

    def launch(self, dtype: Any, name: str, grid: Any, block: Any, *arguments: Any) -> Call:
        """Return the call that launches a kernel in a float type."""
        return self._kernels(np.dtype(dtype)).launch(name, grid, block, *arguments)

    def bounds(self, bounds: Array) -> Array:
        """Bring the bounds of a batch's parts to the device."""
        return self.asarray(bounds, np.int64)

    # ---- transformers -------------------------------------------------------------------

    def shift_scale(self, x: Array, shift: Array, scale: Array) -> None:
        if not _run(launches.by_column(self, "shift_scale", x, shift, scale)):
            super().shift_scale(x, shift, scale)

    def scale_shift(self, x: Array, scale: Array, shift: Array) -> None:
        if not _run(launches.by_column(self, "scale_shift", x, scale, shift)):
            super().scale_shift(x, scale, shift)

    def column_moments(self, X: Array, weight: Array | None = None) -> tuple[Array, Array, Array, Array]:
        if X.dtype.kind != "f":
            return super().column_moments(X, weight)
        weight = None if weight is None else weight.astype(np.float64)
        out = self.xp.empty((4, X.shape[1]), np.float64)
        _run(launches.column_moments(self, X, weight, out))
        return tuple(self.to_host(out))  # as one copy

    def column_extremes(self, X: Array) -> tuple[Array, Array]:
        if X.dtype.kind != "f":
            return super().column_extremes(X)
        launch, parts = launches.column_extremes(self, X)
        launch()
        low, high = parts[:, 0].min(axis=0), parts[:, 1].max(axis=0)
        return low.astype(np.float64), high.astype(np.float64)


def _run(calls: list[Call] | None) -> bool:
    """Run launches; return whether there were any."""
    for call in calls or ():
        call()
    return calls is not None


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of CuPy means that memory is exhausted: GPU memory or pinned memory of the host."""
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return False
    return isinstance(error, MemoryError) or any(word in str(error) for word in OUT_OF_MEMORY)


def import_cupy() -> ArrayModule:
    """Return the cupy module, or raise an error that says why there is no usable GPU."""
    try:
        import cupy
    except ImportError as error:
        raise _unavailable(f"CuPy cannot be imported ({error})") from error
    try:
        n_devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise _unavailable(f"CuPy finds no usable CUDA driver ({error})") from error
    if n_devices == 0:
        raise _unavailable("CuPy finds no CUDA device")
    return cupy


def _unavailable(reason: str) -> ValueError:
    return ValueError(
        f"backend='cupy' needs CuPy and an NVIDIA GPU, but {reason}. "
        f"Install with: {INSTALL_LINE}; or choose backend='numpy'."
    )
