"""A simulator that runs CUDA kernels on the CPU: a C++ compiler takes the place of CuPy's ``RawModule``.

The simulator is stricter than CuPy: arguments must have the types that a kernel declares.
"""

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from sknn._backend.cuda import backend as cuda
from tests.support.cuda_simulator import cublas

HEADER = Path(__file__).with_name("cuda.h")
CACHE = Path(tempfile.gettempdir()) / f"simulated-kernels-{os.getuid()}"
KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(')
# products and sums stay apart, as they are in NumPy
COMPILED = ["-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror", "-Wno-sign-compare"]


class Argument(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("value", ctypes.c_void_p)]


def compile_source(source, *options):
    """Return the library that a C++ compiler makes of a source. It is kept in a folder for the next run."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise RuntimeError("CUDA kernels are tested on the CPU, which needs a C++ compiler: install g++ or set CXX.")
    name = hashlib.sha256("\0".join([source, compiler, *COMPILED, *options]).encode()).hexdigest()[:24]
    library = CACHE / f"{name}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder, "made.so")
            command = [compiler, *COMPILED, *options, "-x", "c++", "-", "-o", str(made)]
            done = subprocess.run(command, input=source, text=True, capture_output=True)
            if done.returncode:
                raise RuntimeError(f"{compiler} refused the source:\n{done.stderr}")
            made.rename(library)
    return ctypes.PyDLL(str(library))


class RawModule:
    """The kernels of a source, by name; it stands for ``cupy.RawModule``."""

    def __init__(self, *, code, options=(), pointer):
        entries = "".join(f"SIMULATED({name})\n" for name in KERNEL.findall(code))
        defined = [option for option in options if option.startswith("-D")]
        self._library = compile_source(f"{HEADER.read_text()}\n{code}\n{entries}", *defined)
        self._pointer = pointer

    def get_function(self, name):
        """Return a function that launches a kernel."""
        entry = getattr(self._library, f"run_{name}")
        entry.restype = ctypes.c_char_p
        return functools.partial(self._launch, name, entry)

    def _launch(self, *launch):
        self.frozen(*launch)()

    def frozen(self, name, entry, grid, block, args):
        """Return a function that launches a kernel with the present scalars and addresses of arrays."""
        kept = [self._described(argument) for argument in args]
        given = (Argument * len(kept))(*(Argument(kind, ctypes.addressof(value)) for kind, value in kept))
        grid, block = _three(grid), _three(block)

        def launch(kept=kept, args=args):  # which are kept alive
            error = entry(grid, block, given, len(kept))
            if error:
                raise ValueError(f"kernel {name}: {error.decode()}")

        return launch

    def _described(self, argument):
        """Return the type of an argument, and its value in memory of its own."""
        if isinstance(argument, np.generic):
            data = argument.tobytes()
            return _type_name(argument.dtype), ctypes.create_string_buffer(data, len(data))
        if not hasattr(argument, "dtype"):
            raise TypeError(f"a kernel must be given arrays and NumPy's numbers; got {argument!r}")
        return _type_name(argument.dtype) + b"*", ctypes.c_void_p(self._pointer(argument))


def _type_name(dtype):
    return f"{dtype.kind}{dtype.itemsize}".encode()


def _three(sizes):
    return (ctypes.c_uint * 3)(*(*sizes, 1, 1)[:3])


def get_cublas_handle():
    """Return a stand-in for the handle of cuBLAS."""
    return 0


class NumPyWithKernels:
    """The namespace of NumPy, with the functions of CuPy that the CUDA backend needs."""

    cuda = SimpleNamespace(
        cublas=cublas,
        get_cublas_handle=get_cublas_handle,
        runtime=SimpleNamespace(CUDA_R_32F=cublas.CUDA_R_32F, CUDA_R_64F=cublas.CUDA_R_64F),
    )
    RawModule = staticmethod(functools.partial(RawModule, pointer=lambda array: array.ctypes.data))
    asnumpy = staticmethod(np.asarray)
    ndarray = np.ndarray

    def __getattr__(self, name):
        return getattr(np, name)


class Backend(cuda.Backend):
    """The CUDA backend on NumPy arrays, for tests that compare kernels."""

    def __init__(self, precision="float32"):
        super().__init__(NumPyWithKernels(), precision)

    @staticmethod
    def pointer(array):
        return array.ctypes.data

    def has_room(self, n_bytes):
        return True
