"""CuPy arrays, with CUDA kernels where one launch pays, and products by cuBLAS."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import numpy as np

from .. import reference
from . import launches
from .products import Products
from .sources import Kernels

SHARE_OF_DATA = 0.6  # of free memory; the rest is for parameters, what optimisers keep of them, and buffers
LITTLE = 2**20  # bytes for which asking how much memory is free takes longer than bringing them
LACKS = "ALLOC_FAILED", "MemoryAllocation", "OUT_OF_MEMORY", "out of memory"  # in messages of CUDA and its libraries
INSTALL_LINE = "pip install sknn[gpu-cuda12] (or sknn[gpu-cuda13] for CUDA 13)"


class Backend(reference.Backend):
    """The reference kernels on CuPy, those that `launches` describes replaced by launches."""

    name = "cupy"
    # a launch costs more than a block of a CPU's cache has work
    block_elements = chunk_elements = product_elements = 2**24
    segment_elements = 2**40

    def __init__(self, xp, precision="float32"):
        super().__init__(xp)
        self.product = Products(xp, precision, self.pointer).call
        self._kernels = cache(lambda dtype: Kernels(xp, dtype))

    # ---- arrays at the door -------------------------------------------------------------

    def to_host(self, array):
        return self.xp.asnumpy(array)

    def holds(self, array):
        return isinstance(array, self.xp.ndarray)

    def has_room(self, n_bytes):
        return n_bytes <= LITTLE or n_bytes <= SHARE_OF_DATA * self._free_bytes()

    def has_room_for_copy(self, array):
        return self.holds(array) and self.has_room(array.nbytes)

    def _free_bytes(self):
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return free + self.xp.get_default_memory_pool().free_bytes()

    @contextmanager
    def explained_lack(self):
        try:
            yield
        except Exception as error:
            if not _is_lack(error):
                raise
            self.xp.get_default_memory_pool().free_all_blocks()
            raise MemoryError(
                f"backend='cupy' ran out of memory on the GPU, of which {self._free_bytes() / 2**20:.0f} MiB are "
                f"free now: {error} Use float32 and not float64, fewer rows at a time, a smaller batch_size or smaller "
                "layers; free what else is on the GPU; or choose backend='numpy'."
            ) from error

    def ring(self, shape, dtype):
        return Ring(self.xp, shape, dtype)

    # ---- kernels and plans --------------------------------------------------------------

    @staticmethod
    def pointer(array):
        """Return where an array begins on the device."""
        return array.data.ptr

    def launch(self, dtype, name, grid, block, *arguments):
        """Return the call that launches a kernel in a float type."""
        return self._kernels(np.dtype(dtype)).launch(name, grid, block, *arguments)

    def bounds(self, bounds):
        """Bring the bounds of a batch's parts to the device."""
        return self.asarray(bounds, np.int64)

    def prepare(self, plan):
        return super().prepare([made for call in plan for made in self._launches_of(call)])

    def _launches_of(self, call):
        """Return what a call of a plan launches, so that nothing is worked out in a step; else the call itself."""
        method = getattr(call, "func", None)
        if getattr(method, "__self__", None) is not self or method.__name__ not in LAUNCHED:
            return [call]
        made = getattr(launches, method.__name__)(self, *call.args, **call.keywords)
        return [call] if made is None else made

    def column_moments(self, X, weight=None):
        if X.dtype.kind != "f":
            return super().column_moments(X, weight)
        weight = None if weight is None else weight.astype(np.float64)
        out = self.xp.empty((4, X.shape[1]), np.float64)
        for launch in launches.column_moments(self, X, weight, out):
            launch()
        return tuple(self.to_host(out))  # as one copy

    def column_extremes(self, X):
        if X.dtype.kind != "f":
            return super().column_extremes(X)
        launch, parts = launches.column_extremes(self, X)
        launch()
        low, high = parts[:, 0].min(axis=0), parts[:, 1].max(axis=0)
        return low.astype(np.float64), high.astype(np.float64)


def _is_lack(error):
    """Whether an error of CuPy means that memory lacks: of its pool, of a library, of the driver, or pinned memory."""
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends"):
        return False
    return isinstance(error, MemoryError) or any(word in str(error) for word in LACKS)


class Ring:
    """Buffers on the device, which are filled from pinned memory on a stream of its own."""

    def __init__(self, xp, shape, dtype):
        from cupyx import empty_pinned

        cuda = xp.cuda
        self.table = xp.empty(shape, dtype)
        self._pinned = [empty_pinned(shape[1:], dtype) for _ in range(len(self.table))]
        self._current, self._stream = cuda.get_current_stream, cuda.Stream(non_blocking=True)
        self._copied, self._used = ([cuda.Event(disable_timing=True) for _ in self._pinned] for _ in range(2))
        for event in self._used:  # by what had this memory before
            event.record(self._current())

    def _fill(self, number, gather):
        """Let ``gather(out)`` fill a buffer on the host, and begin to copy it as soon as it is no longer used."""
        self._copied[number].synchronize()  # before what was copied the last time is overwritten
        gather(self._pinned[number])
        self._stream.wait_event(self._used[number])
        self.table[number].set(self._pinned[number], stream=self._stream)
        self._copied[number].record(self._stream)

    @contextmanager
    def _using(self, number):
        """Let what is launched within wait until a buffer is filled."""
        self._current().wait_event(self._copied[number])
        yield
        self._used[number].record(self._current())

    def stream(self, gathers):
        """Yield a buffer for each of ``gathers``, filled by it; the next one is on its way meanwhile."""
        n = len(self._pinned)
        try:
            self._fill(0, gathers[0])
            for i in range(len(gathers)):
                if i + 1 < len(gathers):
                    self._fill((i + 1) % n, gathers[i + 1])
                with self._using(i % n):
                    yield self.table[i % n]
        finally:
            self._stream.synchronize()  # or the memory would be written to when it serves others


def _launching(name):
    """Return the method that launches what `launches` says, or is the reference's where that has nothing to say."""
    describe, defined = getattr(launches, name), getattr(reference.Backend, name)

    def method(self, *args, **named):
        made = describe(self, *args, **named)
        if made is None:
            defined(self, *args, **named)
            return
        for launch in made:
            launch()

    method.__name__, method.__doc__ = name, defined.__doc__
    return method


LAUNCHED = (
    *("gather", "advance", "matmul", "bias_activation", "activation_backward", "maxout", "maxout_backward"),
    *("dropout", "dropout_backward", "batch_moments", "track_moments", "standardize", "standardize_backward"),
    *("scale_backward", "renorm", "standardize_groups", "standardize_groups_backward"),
    *("normalize_weights", "normalize_weights_backward"),
    *("loss_gradient", "link", "update", "add_l1", "clip_norm", "limit_norms", "shrink", "average"),
    *("shift_scale", "scale_shift"),
)
for _name in LAUNCHED:
    setattr(Backend, _name, _launching(_name))


def import_cupy():
    """Return the cupy module, or say what a usable GPU lacks."""
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


def _unavailable(reason):
    return ValueError(
        f"backend='cupy' needs CuPy and an NVIDIA GPU, but {reason}. "
        f"Install with: {INSTALL_LINE}; or choose backend='numpy'."
    )
