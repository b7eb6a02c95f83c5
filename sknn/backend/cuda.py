"""CuPy arrays. The kernels are the reference ones for now."""

from __future__ import annotations

from . import reference

INSTALL_LINE = "pip install sknn[gpu-cuda12] (or sknn[gpu-cuda13] for CUDA 13)"


class Backend(reference.Backend):
    """The reference kernels on CuPy."""

    name = "cupy"
    block_elements = 2**24  # a launch costs more than a block of a CPU's cache has work

    def to_host(self, array):
        return self.xp.asnumpy(array)


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
