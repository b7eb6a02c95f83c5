"""Column moments and scaling: kernels against their definitions, and against sums in extended precision."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknn.backend import cpu, reference
from sknn.preprocessing._moments import Moments, column_moments, merge, moments_from_statistics
from tests import standin

BACKENDS = {"reference": reference.Backend(np), "cpu": cpu.Backend()}
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let the reference take several blocks for what the kernels take several blocks for."""
    monkeypatch.setattr(reference, "BLOCK_ELEMENTS", 4096)


def exact_moments(X, weight=None):
    """Return the moments by two passes in extended precision."""
    X = np.asarray(X, np.longdouble)
    weight = np.ones(len(X)) if weight is None else weight
    share = np.where(np.isnan(X), 0, np.asarray(weight, np.longdouble)[:, None])
    known = np.where(np.isnan(X), 0, X)
    count = share.sum(axis=0)
    mean = (share * known).sum(axis=0) / np.where(count > 0, count, 1)
    squares = (share * (known - mean) ** 2).sum(axis=0)
    return Moments(*(np.asarray(part, float) for part in (count, mean, squares)))


def assert_moments(found, expected, rtol=1e-13, scale=0.0):
    """Compare to ``rtol``, of the spread or of ``scale``, the size of values whose mean may vanish."""
    count, mean, squares = expected
    deviation = np.sqrt(squares / np.where(count > 0, count, 1))
    np.testing.assert_allclose(found[0], count, rtol=rtol)
    assert (np.abs(found[1] - mean) <= rtol * (deviation + scale) + 1e-15 * np.abs(mean)).all()
    np.testing.assert_allclose(found[2], squares, rtol=rtol, atol=rtol * scale**2)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def with_gaps(X, share=0.3):
    """Put NaN in a share of the entries, and all through the second column."""
    X = X.copy()
    X[np.random.default_rng(1).random(X.shape) < share] = np.nan
    X[:, 1:2] = np.nan
    return X


# ---- column moments ---------------------------------------------------------------------


def c_order(X):
    return np.ascontiguousarray(X)


def f_order(X):
    return np.asfortranarray(X)


def strided(X):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


def some_columns(X):
    return np.hstack([X + 1, X, X - 1])[:, X.shape[1] : 2 * X.shape[1]]


def some_rows_of_f_order(X):
    return np.asfortranarray(np.vstack([X, X + 1]))[: len(X)]


def reversed_both(X):
    return X[::-1, ::-1].copy()[::-1, ::-1]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def read_only_f_order(X):
    return read_only(X.T).T


LAYOUTS = [c_order, f_order, strided, some_columns, some_rows_of_f_order, reversed_both, read_only, read_only_f_order]


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_moments(backend, dtype, layout, gaps, weighted):
    X = 3 + normal((2500, 5), dtype) * 10.0 ** np.arange(-2, 3, dtype=dtype)
    X = with_gaps(X) if gaps else X
    weight = np.random.default_rng(2).integers(0, 4, len(X)) / 4 if weighted else None
    laid_out = layout(X)
    found = backend.column_moments(laid_out, weight)
    np.testing.assert_array_equal(laid_out, X)
    assert [part.dtype for part in found] == [np.float64] * 3
    assert_moments(found, exact_moments(X, weight))


@each_backend
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 5000), (1023, 3), (1024, 3), (1025, 3), (1, 9000)])
def test_moments_of_any_shape(backend, shape):
    X = normal(shape)
    assert_moments(backend.column_moments(X), exact_moments(X), scale=1)
    np.testing.assert_array_equal(backend.column_moments(X)[0], shape[0])


@each_backend
def test_weights_may_be_a_view(backend):
    X, weight = normal((3000, 2)), np.random.default_rng(0).random(6000)[::2]
    assert_moments(backend.column_moments(X, weight), exact_moments(X, weight))


@each_backend
@each_dtype
def test_a_column_that_is_missing_has_empty_moments(backend, dtype):
    X = np.full((1500, 2), np.nan, dtype)
    X[-1, 1] = 7
    for laid_out in (X, np.asfortranarray(X)):
        np.testing.assert_array_equal(backend.column_moments(laid_out), [[0, 1], [0, 7], [0, 0]])


@each_backend
@pytest.mark.parametrize("layout", [c_order, f_order])
def test_rows_without_weight_leave_no_trace(backend, layout):
    X, weight = 5 + normal((4000, 3)), np.zeros(4000)
    X[:2000] = 1e300
    weight[2000:] = 0.5
    assert_moments(backend.column_moments(layout(X), weight), exact_moments(X[2000:], weight[2000:]))
    np.testing.assert_array_equal(backend.column_moments(layout(X), np.zeros(4000)), 0)


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", [c_order, f_order])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinity_shows_in_the_mean(backend, dtype, layout, infinity):
    for row in (0, 5, 2900):
        X = with_gaps(normal((3000, 4), dtype))
        X[row, 2] = infinity
        with np.errstate(invalid="ignore"):
            count, mean, _ = backend.column_moments(layout(X))
        assert list(np.isfinite(mean)) == [True, True, False, True]
        np.testing.assert_array_equal(count, (~np.isnan(X)).sum(axis=0))


# ---- numerically hard columns -----------------------------------------------------------


def far_from_zero():
    return 1e8 + normal((20000, 3))


def sorted_far_from_zero():
    return np.sort(far_from_zero(), axis=0)


def step_at_the_precision_of_the_mean():
    return 1e10 + np.repeat([[1.0], [0.0]], 50_001, axis=0)


def first_row_far_away():
    return np.vstack([[1e8, -1e8, 1e4], normal((20000, 3))])


def first_block_far_away():
    return np.vstack([np.full((1024, 3), [1e8, -1e8, 1e4]), normal((20000, 3))])


def starts_late():
    X = far_from_zero()
    X[:5000] = np.nan
    return X


HARD = [
    far_from_zero,
    sorted_far_from_zero,
    step_at_the_precision_of_the_mean,
    first_row_far_away,
    first_block_far_away,
    starts_late,
]


@each_backend
@pytest.mark.parametrize("layout", [c_order, f_order])
@pytest.mark.parametrize("column", HARD)
def test_hard_columns(backend, layout, column):
    X = column()
    assert_moments(backend.column_moments(layout(X)), exact_moments(X), rtol=1e-10)


@each_backend
def test_float32_far_from_zero(backend):
    X = (1e8 + 100 * normal((20000, 3))).astype(np.float32)
    assert_moments(backend.column_moments(X), exact_moments(X), rtol=1e-10)


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", [c_order, f_order])
def test_squares_of_a_constant_column_are_rounding(backend, dtype, layout):
    X = np.full((5000, 4), [0.1, -1e8 / 3, 1e-30, 0], dtype)
    count, mean, squares = backend.column_moments(layout(X))
    np.testing.assert_allclose(mean, X[0].astype(float), rtol=1e-15)
    assert (squares >= 0).all()
    assert (squares <= count * (count * np.finfo(float).eps * mean) ** 2).all()


@each_backend
def test_no_float64_copy_is_made(backend):
    X = normal((100_000, 20), np.float32)
    backend.column_moments(X[:10])  # so that it is compiled
    tracemalloc.start()
    try:
        backend.column_moments(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 10


@pytest.mark.slow
@each_backend
@pytest.mark.parametrize("layout", [c_order, f_order])
def test_many_float32_rows_near_one(backend, layout, monkeypatch):
    monkeypatch.setattr(reference, "BLOCK_ELEMENTS", 2**18)
    X = layout((1 + 1e-3 * normal((2**22, 2))).astype(np.float32))
    count, mean, squares = backend.column_moments(X)
    exact = exact_moments(X)
    np.testing.assert_array_equal(count, 2**22)
    np.testing.assert_allclose(mean, exact.mean, rtol=1e-15)
    np.testing.assert_allclose(squares, exact.squares, rtol=1e-12)


# ---- merging ----------------------------------------------------------------------------


def halves(X, weight, cut):
    parts = slice(None, cut), slice(cut, None)
    return [exact_moments(X[part], None if weight is None else weight[part]) for part in parts]


@pytest.mark.parametrize("cut", [0, 1, 30, 99, 100])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_merge(cut, weighted):
    X = with_gaps(10 + normal((100, 4)))
    X[:30, 2] = np.nan
    weight = np.random.default_rng(2).integers(0, 3, 100) / 2 if weighted else None
    first, second = halves(X, weight, cut)
    assert_moments(merge(first, second), exact_moments(X, weight))
    assert_moments(merge(second, first), exact_moments(X, weight))


def test_merge_with_nothing_changes_nothing():
    some, nothing = exact_moments(1e8 + normal((50, 3))), Moments(*np.zeros((3, 3)))
    np.testing.assert_array_equal(merge(some, nothing), some)
    np.testing.assert_array_equal(merge(nothing, some), some)
    np.testing.assert_array_equal(merge(nothing, nothing), nothing)


def test_variance():
    moments = Moments(np.array([4.0, 0.0]), np.zeros(2), np.array([12.0, 0.0]))
    np.testing.assert_array_equal(moments.variance(), [3, np.nan])


def test_moments_from_statistics():
    found = moments_from_statistics(np.array([4, 0, 0]), np.array([1, np.nan, 5]), np.array([2, np.nan, 5]))
    np.testing.assert_array_equal(found, [[4, 0, 0], [1, 0, 0], [8, 0, 0]])


values = st.one_of(st.just(np.nan), st.floats(-100, 100, width=32))
tables = st.tuples(st.integers(1, 40), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=values)
)


@settings(deadline=None)
@given(X=tables, cuts=st.lists(st.integers(0, 40)), weighted=st.booleans())
def test_any_chunking_is_one_pass(X, cuts, weighted):
    weight = np.random.default_rng(3).integers(0, 3, len(X)) / 2 if weighted else None
    backend = BACKENDS["cpu"]
    total = Moments(*np.zeros((3, X.shape[1])))
    bounds = [0, *sorted(min(cut, len(X)) for cut in cuts), len(X)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        if start < stop:
            total = merge(total, column_moments(backend, X[start:stop], None if weight is None else weight[start:stop]))
    assert_moments(total, column_moments(backend, X, weight), rtol=1e-12, scale=100)
    assert_moments(total, exact_moments(X, weight), rtol=1e-12, scale=100)


# ---- sparse and on the device -----------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
@pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_sparse_moments(container, gaps, weighted, dtype):
    X = normal((200, 4), dtype) * (np.random.default_rng(4).random((200, 4)) < 0.3)
    X = with_gaps(X) if gaps else X
    weight = np.random.default_rng(2).integers(0, 4, len(X)) / 4 if weighted else None
    found = column_moments(BACKENDS["cpu"], container(X), weight)
    assert [part.dtype for part in found] == [np.float64] * 3
    assert_moments(found, exact_moments(X, weight), scale=1)


@each_dtype
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_moments_on_the_device(dtype, weighted):
    X = with_gaps(normal((3000, 4), dtype))
    weight = np.random.default_rng(2).random(3000) if weighted else None
    with standin.installed() as cupy:
        from sknn.backend import get_backend

        found = column_moments(get_backend("cupy"), cupy.asarray(X), weight)
    assert [type(part) for part in found] == [np.ndarray] * 3
    np.testing.assert_array_equal(found, column_moments(BACKENDS["reference"], X, weight))


# ---- scale and shift --------------------------------------------------------------------

KERNELS = {
    "shift_scale": lambda x, shift, scale: (x - shift) / scale,
    "scale_shift": lambda x, scale, shift: x * scale + shift,
}


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_scaling(kernel, layout, dtype, backend):
    X = with_gaps(100 * normal((3000, 7), dtype))
    X[3] = [np.inf, -np.inf, 0, -0.0, 1e30, 1e-30, 1]
    first, second = 1 + np.random.default_rng(5).random((2, 7)).astype(dtype)
    laid_out, out = layout(X), layout(X).copy(order="K")
    for target in (np.full_like(out, 7), np.full((3000, 7), 7, dtype, order="F"), out):
        source = out if target is out else laid_out
        getattr(backend, kernel)(source, first, second, target)
        np.testing.assert_array_equal(target, KERNELS[kernel](X, first, second), strict=True)
    np.testing.assert_array_equal(laid_out, X)


@each_backend
@pytest.mark.parametrize("kernel", KERNELS)
def test_scaling_warns_of_nothing_and_takes_any_number_of_columns(kernel, backend):
    for n_features in (1, 3, 5000):
        X, (first, second) = normal((9, n_features)), 1 + np.random.default_rng(0).random((2, n_features))
        out = np.empty_like(X)
        getattr(backend, kernel)(X, first, second, out)
        np.testing.assert_array_equal(out, KERNELS[kernel](X, first, second))
