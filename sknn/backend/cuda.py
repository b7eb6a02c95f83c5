"""CuPy arrays, with CUDA kernels where one launch pays, and products by cuBLAS."""

from __future__ import annotations

from functools import cache

import numpy as np

from . import _launches, reference
from ._kernels import Kernels
from ._products import Products

INSTALL_LINE = "pip install sknn[gpu-cuda12] (or sknn[gpu-cuda13] for CUDA 13)"


class Backend(reference.Backend):
    """The reference kernels on CuPy, those that `_launches` describes replaced by launches."""

    name = "cupy"
    block_elements = 2**24  # a launch costs more than a block of a CPU's cache has work

    def __init__(self, xp, precision="float32"):
        super().__init__(xp)
        self.product = Products(xp, precision, self.pointer).call
        self._kernels = cache(lambda dtype: Kernels(xp, dtype))

    def to_host(self, array):
        return self.xp.asnumpy(array)

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
        launches = getattr(_launches, method.__name__)(self, *call.args, **call.keywords)
        return [call] if launches is None else launches

    def column_moments(self, X, weight=None):
        if X.dtype.kind != "f":
            return super().column_moments(X, weight)
        weight = None if weight is None else weight.astype(np.float64)
        out = self.xp.empty((4, X.shape[1]), np.float64)
        for launch in _launches.column_moments(self, X, weight, out):
            launch()
        return tuple(out)


def _launching(name):
    """Return the method that launches what `_launches` says, or is the reference's where that has nothing to say."""
    describe, defined = getattr(_launches, name), getattr(reference.Backend, name)

    def method(self, *args, **named):
        launches = describe(self, *args, **named)
        if launches is None:
            defined(self, *args, **named)
            return
        for launch in launches:
            launch()

    method.__name__, method.__doc__ = name, defined.__doc__
    return method


LAUNCHED = (
    *("gather", "advance", "matmul", "bias_activation", "activation_backward", "dropout", "dropout_backward"),
    *("batch_moments", "track_moments", "standardize", "standardize_backward", "scale_backward"),
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
