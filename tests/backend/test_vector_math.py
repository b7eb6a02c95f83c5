"""The functions that fused activations are made of, against long doubles, as the vector code of a loop."""

import functools
import re

import numba
import numpy as np
import pytest

from sknn._backend.cpu import vector_math as vm

LONG = np.longdouble
PI = LONG("3.14159265358979323846264338")
# each loop is compiled for both
each_dtype = pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
needs_long_double = pytest.mark.skipif(np.finfo(LONG).eps > 2.0**-60, reason="long double is double here")


@vm.inlined
def exp(x):
    return vm.exp(x, vm.like(x, 0.0))


@vm.inlined
def normal(x):
    return vm.normal(x)[0]


@vm.inlined
def elu(x):
    return vm.elu(x, vm.like(x, 1.0))


# ---- what they should be, in long double ------------------------------------------------


def share_below(z):
    """Return P(Z <= z) for a standard normal Z: near zero its series, further out its continued fraction."""
    size = abs(z)
    near, far = np.minimum(size, 2), np.maximum(size, 2)
    term, series = near, near
    for k in range(1, 60):
        term = term * near**2 / (2 * k + 1)
        series = series + term
    fraction = far
    for k in range(400, 0, -1):
        fraction = far + k / fraction
    tail = np.where(size < 2, LONG(0.5) - density(near) * series, density(far) / fraction)
    return np.where(z > 0, 1 - tail, tail)


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * PI)


def sigmoid(z):
    return np.exp(np.minimum(z, 0)) / (1 + np.exp(-abs(z)))


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-abs(z)))


def logistic_slope(z):
    return sigmoid(z) * sigmoid(-z)


def inner(z):
    return 2 * np.sqrt(2 / PI) * (z + LONG("0.044715") * z**3)


def inner_slope(z):
    return 2 * np.sqrt(2 / PI) * (1 + 3 * LONG("0.044715") * z**2)


def mish_slope(z):
    t = np.tanh(softplus(z))
    return t + z * sigmoid(z) * (1 - t * t)


def gelu_tanh_slope(z):
    return sigmoid(inner(z)) + z * logistic_slope(inner(z)) * inner_slope(z)


VALUES = {  # function, truth, ends, largest error in units of the last place
    "exp": (exp, np.exp, (-750, 0), 1),
    "expm1": (vm.expm1, np.expm1, (-60, 0), 1.25),
    "log1p": (vm.log1p, np.log1p, (0, 1), 1.5),
    "normal": (normal, share_below, (-40, 40), 4.5),
    "logistic": (vm.logistic, sigmoid, (-750, 60), 2.5),
    "tanh": (vm.tanh, np.tanh, (-60, 60), 2.75),
    "elu": (elu, lambda z: np.where(z > 0, z, np.expm1(z)), (-60, 60), 1.25),
    "softplus": (vm.softplus, softplus, (-750, 60), 2),
    "silu": (vm.silu, lambda z: z * sigmoid(z), (-750, 60), 3.5),
    "mish": (vm.mish, lambda z: z * np.tanh(softplus(z)), (-750, 60), 4.25),
    "gelu": (vm.gelu, lambda z: z * share_below(z), (-40, 40), 5),
}
SLOPES = {  # function, truth, ends; sums that cancel somewhere
    "softplus_slope": (vm.softplus_slope, lambda y: -np.expm1(-y), (0, 60)),
    "silu_slope": (vm.silu_slope, lambda z: sigmoid(z) + z * logistic_slope(z), (-60, 60)),
    "mish_slope": (vm.mish_slope, mish_slope, (-60, 60)),
    "gelu_slope": (vm.gelu_slope, lambda z: share_below(z) + z * density(z), (-40, 40)),
    "gelu_tanh_slope": (vm.gelu_tanh_slope, gelu_tanh_slope, (-40, 40)),
}
AT_THE_ENDS = {  # at minus and plus infinity, where defined
    "exp": (0, None),
    "expm1": (-1, None),
    "normal": (0, 1),
    "logistic": (0, 1),
    "tanh": (-1, 1),
    "elu": (-1, np.inf),
    "softplus": (0, np.inf),
    "silu": (0, np.inf),
    "mish": (0, np.inf),
    "gelu": (0, np.inf),
    "gelu_tanh": (0, np.inf),
    "silu_slope": (0, 1),
    "mish_slope": (0, 1),
    "gelu_slope": (0, 1),
    "gelu_tanh_slope": (0, 1),
    "softplus_slope": (None, 1),
}
FUNCTIONS = {name: case[0] for name, case in (VALUES | SLOPES).items()} | {"gelu_tanh": vm.gelu_tanh}


# ---- comparing --------------------------------------------------------------------------


@functools.cache
def loop(name):
    """Return a compiled loop, with the flags of the backend's kernels."""
    function = FUNCTIONS[name]

    @numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
    def run(x, y):
        for i in range(x.shape[0]):
            y[i] = function(x[i])

    return run


def value(name, x):
    y = np.full_like(x, 7)
    loop(name)(x, y)
    return y


def grid(ends, dtype):
    """Return numbers that lie densely between the ends, and near zero."""
    low, high = ends
    near = np.geomspace(1e-30, 1, 20_000)
    x = np.concatenate([np.linspace(low, high, 100_001), np.linspace(max(low, -5), min(high, 5), 100_001), near, -near])
    return x[(x >= low) & (x <= high)].astype(dtype)


def errors(x, y, true):
    """Return errors in units of the last place, or of what a factor below the least normal number has lost."""
    with np.errstate(under="ignore"):
        exact = true(x.astype(LONG))
        unit = np.spacing(abs(exact).astype(x.dtype)).astype(LONG)
    return abs(y - exact) / (unit + abs(x) * np.finfo(x.dtype).smallest_subnormal.astype(LONG))


@pytest.mark.slow
@needs_long_double
@each_dtype
@pytest.mark.parametrize("name", VALUES)
def test_value(name, dtype):
    _, true, ends, limit = VALUES[name]
    x = grid(ends, dtype)
    assert errors(x, value(name, x), true).max() < limit


@pytest.mark.slow
@needs_long_double
@each_dtype
def test_gelu_by_tanh(dtype):
    """The rounding of what exp is taken of grows with it."""
    x = grid((-40, 40), dtype)
    error = errors(x, value("gelu_tanh", x), lambda z: z * sigmoid(inner(z)))
    assert (error / (4 + 3 * np.maximum(-inner(x.astype(LONG)), 0))).max() < 1


@pytest.mark.slow
@needs_long_double
@each_dtype
@pytest.mark.parametrize("name", SLOPES)
def test_slope(name, dtype):
    _, true, ends = SLOPES[name]
    x = grid(ends, dtype)
    with np.errstate(under="ignore"):
        error = abs(value(name, x) - true(x.astype(LONG)))
    assert error.max() < 2 * np.finfo(dtype).eps


@each_dtype
@pytest.mark.parametrize("name", AT_THE_ENDS)
def test_far_out(name, dtype):
    for side, limit in zip((-1, 1), AT_THE_ENDS[name], strict=True):
        if limit is not None:
            for size in (1e3, 1e30, np.inf):
                x = np.full(67, side * size, dtype)
                np.testing.assert_array_equal(value(name, x), limit if np.isfinite(limit) else x)


@each_dtype
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_goes_through_in_every_place(name, dtype):
    x = np.linspace(0, 1, 67).astype(dtype) * (-1 if name in ("exp", "expm1") else 1)
    for i in range(len(x)):
        x_with_nan = x.copy()
        x_with_nan[i] = np.nan
        np.testing.assert_array_equal(np.isnan(value(name, x_with_nan)), np.isnan(x_with_nan))


@each_dtype
@pytest.mark.parametrize("name", FUNCTIONS)
def test_loops_become_vector_code(name, dtype):
    value(name, np.zeros(1, dtype))
    code = next(
        code for types, code in loop(name).inspect_llvm().items() if types[0].dtype.name == np.dtype(dtype).name
    )
    assert f" x {'float' if dtype is np.float32 else 'double'}>" in code
    assert not re.search(r"call .*@(llvm\.)?(exp|log|tanh|erf)", code)  # of a scalar function
