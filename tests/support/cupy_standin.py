"""A stand-in for the cupy module, on NumPy, for tests without a GPU.

Its arrays refuse to mix with NumPy's wherever CuPy's do, and nothing is on offer that CuPy does not document. Where the
two differ it is the stricter one: it has no ``__array_function__``, so ``numpy.sum(array)`` and its like are refused.
"""

import contextlib
import functools
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import scipy.special

from sknn import _backend as backend
from sknn._backend.cuda import backend as cuda
from tests.support import cuda_simulator

FUNCTIONS = """
    abs absolute add all amax amin any arange argmax argmin argsort atleast_2d bincount broadcast_arrays broadcast_to
    ceil choose clip column_stack concatenate copysign copyto cos count_nonzero cumsum diag divide dot einsum empty
    empty_like equal exp expand_dims expm1 eye flatnonzero floor floor_divide full full_like greater greater_equal
    hstack isfinite isinf isnan less less_equal linspace log log1p log2 logaddexp logical_and logical_not logical_or
    matmul max maximum mean min minimum moveaxis multiply nanmax nanmean nanmin nansum negative nonzero not_equal ones
    ones_like power prod ravel reciprocal remainder repeat reshape rint round searchsorted sign sin sort split sqrt
    square squeeze stack std subtract sum swapaxes take tanh tensordot tile trace transpose tril triu true_divide
    unique var vstack where zeros zeros_like
"""
CONSTANTS = (
    "bool_ dtype e finfo float16 float32 float64 iinfo inf int8 int16 int32 int64 nan newaxis pi uint8 uint32 uint64"
)
METHODS = """
    all any argmax argmin argsort astype clip copy cumsum dot flatten max mean min nonzero prod ravel repeat reshape
    round squeeze std sum swapaxes take transpose var view
"""
ATTRIBUTES = "dtype itemsize nbytes ndim shape size strides tolist item"
FUNCTIONS, CONSTANTS, METHODS, ATTRIBUTES = (
    frozenset(names.split()) for names in (FUNCTIONS, CONSTANTS, METHODS, ATTRIBUTES)
)
NOT_IN_CUPY = {"initial", "mode", "subok", "where"}  # arguments of functions that NumPy has and CuPy lacks


class CUDARuntimeError(RuntimeError):
    """The error that CuPy raises without a driver."""


class ndarray:
    """An array on the simulated device."""

    __array_priority__ = 100
    __hash__ = None
    __slots__ = ("_host",)

    def __init__(self, host):
        self._host = host

    @property
    def T(self):
        return ndarray(self._host.T)

    @property
    def flags(self):
        flags = self._host.flags  # without writeable, which is NumPy's alone
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    @property
    def data(self):
        return SimpleNamespace(ptr=self._host.ctypes.data)

    def get(self):
        return self._host.copy()

    def set(self, values, stream=None):
        """Copy from the host, on a separate stream as late as possible, which shows code that does not wait for it."""
        assert type(values) is np.ndarray and values.shape == self.shape and values.dtype == self.dtype
        copy = functools.partial(np.copyto, self._host, values)
        copy() if stream is None else stream.add(copy)

    def fill(self, value):
        self[...] = value

    def __getattr__(self, name):
        if name in ATTRIBUTES:
            return getattr(self._host, name)
        if name in METHODS:
            return _on_device(name, getattr(self._host, name))
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if method != "__call__" or ufunc.__name__ not in FUNCTIONS:
            return NotImplemented
        return getattr(cupy, ufunc.__name__)(*inputs, **options, **({"out": out[0]} if out else {}))

    def __getitem__(self, key):
        return _to_device(self._host[_index(key)])

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host[_index(key)] = value._host if isinstance(value, ndarray) else value

    def __iter__(self):
        return map(_to_device, self._host)

    def __len__(self):
        return len(self._host)

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __repr__(self):
        return repr(self._host)

    def __reduce__(self):
        return array, (self._host,)


ndarray.__module__ = "cupy"  # by which sknn knows CuPy's arrays


def _operator(name):
    def apply(self, *others):
        with np.errstate(all="ignore"):  # CuPy never warns
            result = getattr(self._host, name)(*map(_to_host, others))
        return self if result is self._host else _to_device(result)

    return apply


for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "rshift"]:
    for _prefix in ("", "r", "i"):
        setattr(ndarray, f"__{_prefix}{_name}__", _operator(f"__{_prefix}{_name}__"))
for _name in ["eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def _to_host(value):
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(map(_to_host, value))
    return value._host if isinstance(value, ndarray) else value


def _to_device(value):
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, tuple) else list)(map(_to_device, value))
    return ndarray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _index(key):
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    return key._host if isinstance(key, ndarray) else key  # CuPy too takes row numbers from NumPy


def _on_device(name, function):
    def call(*args, **options):
        if refused := NOT_IN_CUPY.intersection(options):
            raise TypeError(f"{name}() got an unexpected keyword argument {refused.pop()!r}")
        with np.errstate(all="ignore"):
            result = function(*map(_to_host, args), **{key: _to_host(value) for key, value in options.items()})
        memory.check(result)
        out = options.get("out")
        return _to_device(result) if out is None else out

    return call


def array(values, dtype=None):
    """Return a new array on the device."""
    return ndarray(memory.check(np.array(asnumpy(values), dtype)))


def asarray(values, dtype=None):
    """Return ``values`` on the device, without a copy if they are an array of the device."""
    return values if isinstance(values, ndarray) and dtype in (None, values.dtype) else array(values, dtype)


def asnumpy(values):
    """Return ``values`` as a NumPy array."""
    return values.get() if isinstance(values, ndarray) else np.asarray(values)


# ---- memory and streams -------------------------------------------------------------------


class OutOfMemoryError(MemoryError):
    """The error that CuPy raises if memory is exhausted."""


OutOfMemoryError.__module__ = "cupy.cuda.memory"


class Stream:
    """A stream that runs its work only when it is waited for; ``CurrentStream`` runs work at once."""

    def __init__(self, non_blocking):
        self._left = []

    def add(self, work):
        self._left.append(work)

    def wait_event(self, event):
        self.add(event.synchronize)

    def synchronize(self, before=None):
        while self._left:
            work = self._left.pop(0)
            if work is before:
                return
            work()


class CurrentStream:
    """The current stream, which runs all work at once."""

    def add(self, work):
        work()

    def wait_event(self, event):
        event.synchronize()


class Event:
    """A mark in a stream."""

    def __init__(self, disable_timing):
        self._stream = None

    def record(self, stream):
        self._stream, self._mark = stream, lambda: None
        stream.add(self._mark)

    def synchronize(self):
        if isinstance(self._stream, Stream) and self._mark in self._stream._left:
            self._stream.synchronize(self._mark)


class Memory:
    """The memory of the device: its free bytes, and the largest array that can be allocated."""

    def __init__(self):
        self.free, self.largest = 2**40, 2**40

    def info(self):
        return self.free, 2**40

    def check(self, result):
        if isinstance(result, np.ndarray) and result.nbytes > self.largest:
            raise OutOfMemoryError(f"Out of memory allocating {result.nbytes:,} bytes (allocated so far: 0 bytes).")
        return result


memory = Memory()


def _pointer(argument):
    if not isinstance(argument, ndarray):
        raise TypeError(f"Unsupported type {type(argument)}")
    return argument.data.ptr


class _Module:
    """The namespace of the cupy module; its kernels are simulated."""

    ndarray = ndarray
    array, asarray, asnumpy = staticmethod(array), staticmethod(asarray), staticmethod(asnumpy)
    linalg = SimpleNamespace(**{name: _on_device(name, getattr(np.linalg, name)) for name in ("eigh", "qr", "svd")})
    RawModule = staticmethod(functools.partial(cuda_simulator.RawModule, pointer=_pointer))
    cuda = SimpleNamespace(
        cublas=cuda_simulator.cublas,
        get_cublas_handle=cuda_simulator.get_cublas_handle,
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 1,
            CUDARuntimeError=CUDARuntimeError,
            CUDA_R_32F=cuda_simulator.cublas.CUDA_R_32F,
            CUDA_R_64F=cuda_simulator.cublas.CUDA_R_64F,
            memGetInfo=memory.info,
        ),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        get_current_stream=CurrentStream,
        Stream=Stream,
        Event=Event,
    )

    @staticmethod
    def get_default_memory_pool():
        return SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: None)

    def __getattr__(self, name):
        if name in CONSTANTS:
            return getattr(np, name)
        if name in FUNCTIONS:
            return _on_device(name, getattr(np, name))
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")


cupy = _Module()
cupyx = SimpleNamespace(empty_pinned=np.empty)
cupyx_scipy = SimpleNamespace(special=SimpleNamespace(erf=_on_device("erf", scipy.special.erf)))


@contextlib.contextmanager
def installed():
    """Let sknn find the stand-in when it looks for CuPy and a GPU."""
    backend._cupy_backend.cache_clear()
    try:
        with mock.patch.object(cuda, "import_cupy", lambda: cupy):
            # not by mock.patch.dict, which would forget all modules that are imported meanwhile
            sys.modules.update({"cupyx": cupyx, "cupyx.scipy": cupyx_scipy})
            yield cupy
    finally:
        memory.__init__()
        sys.modules.pop("cupyx", None)
        sys.modules.pop("cupyx.scipy", None)
        backend._cupy_backend.cache_clear()
