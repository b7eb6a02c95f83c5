"""Column moments and scaling: kernels against their definitions, and against sums in extended precision."""

import threading
import tracemalloc
from functools import reduce

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_info

from sknn._backend import reference
from sknn._backend.cpu import backend as cpu
from sknn._backend.cuda import backend as cuda
from sknn._common.moments import LEAST_SQUARES, Moments, merge, moments_from_statistics
from sknn._common.rows import rows_of
from sknn.preprocessing._images import feature_groups
from sknn.preprocessing._mapping import map_rows
from sknn.preprocessing._moments import column_extremes, column_moments
from tests.support import cupy_standin
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs

each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let the reference take several blocks for what the kernels take several blocks for."""
    for backend in (reference.Backend, cuda.Backend):
        monkeypatch.setattr(backend, "block_elements", 4096)


def exact_moments(X, weight=None):
    """Return the moments by two passes in extended precision."""
    X = np.asarray(X, np.longdouble)
    weight = np.ones(len(X)) if weight is None else weight
    share = np.where(np.isnan(X), 0, np.asarray(weight, np.longdouble)[:, None])
    known = np.where(np.isnan(X), 0, X)
    count = share.sum(axis=0)
    mean = (share * known).sum(axis=0) / np.where(count > 0, count, 1)
    squares = (share * (known - mean) ** 2).sum(axis=0)
    rest = mean - np.asarray(mean, float)
    return Moments(*(np.asarray(part, float) for part in (count, mean, rest, squares)))


def assert_moments(found, expected, rtol=1e-13, scale=0.0):
    """Compare to ``rtol``, of the spread or of ``scale``, the size of values whose mean may vanish."""
    count, mean, _, squares = expected[:4]
    deviation = np.sqrt(squares / np.where(count > 0, count, 1))
    np.testing.assert_allclose(found[0], count, rtol=rtol)
    assert (np.abs(found[1] - mean) <= rtol * (deviation + scale) + 1e-15 * np.abs(mean)).all()
    np.testing.assert_allclose(found[3], squares, rtol=rtol, atol=rtol * scale**2)
    assert (np.abs(found[2]) <= np.spacing(np.abs(found[1]))).all()


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


@all_pairs(
    each_backend,
    [each_dtype, pytest.mark.parametrize("layout", LAYOUTS)],
    pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"]),
    pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
)
def test_moments(backend, dtype, layout, gaps, weighted):
    X = 3 + normal((2500, 5), dtype) * 10.0 ** np.arange(-2, 3, dtype=dtype)
    X = with_gaps(X) if gaps else X
    weight = np.random.default_rng(2).integers(0, 4, len(X)) / 4 if weighted else None
    laid_out = layout(X)
    found = backend.column_moments(laid_out, weight)
    np.testing.assert_array_equal(laid_out, X)
    assert [part.dtype for part in found[:4]] == [np.float64] * 4
    assert_moments(found, exact_moments(X, weight))


@each_backend
@pytest.mark.parametrize("layout", [c_order, f_order])
@pytest.mark.parametrize("small", [1e-200, 5e-324])
def test_squares_are_zero_for_columns_of_one_value_only(small, layout, backend):
    X = np.zeros((2500, 5))
    X[:, 1] = 3.25
    X[[7, 2000], 2] = [small, -small]
    X[2499, 3] = small
    X[:3, 4], X[3:6, 4] = np.nan, [0, small, -small]
    for weight in (None, np.full(2500, 2.0)):
        squares = backend.column_moments(layout(X), weight)[3]
        np.testing.assert_array_equal(squares > 0, [False, False, True, True, True])
        assert (squares < LEAST_SQUARES).all()  # so that they are in doubt


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
        np.testing.assert_array_equal(backend.column_moments(laid_out), [[0, 1], [0, 7], [0, 0], [0, 0]])


@each_backend
@pytest.mark.parametrize("layout", [c_order, f_order])
def test_rows_without_weight_leave_no_trace(backend, layout):
    X, weight = 5 + normal((4000, 3)), np.zeros(4000)
    X[:2000] = 1e300
    weight[2000:] = 0.5
    assert_moments(backend.column_moments(layout(X), weight), exact_moments(X[2000:], weight[2000:]))
    np.testing.assert_array_equal(backend.column_moments(layout(X), np.zeros(4000)), 0)


@all_pairs(
    each_backend,
    each_dtype,
    pytest.mark.parametrize("layout", [c_order, f_order]),
    pytest.mark.parametrize("infinity", [np.inf, -np.inf]),
)
def test_infinity_shows_in_the_mean(backend, dtype, layout, infinity):
    for row in (0, 5, 2900):
        X = with_gaps(normal((3000, 4), dtype))
        X[row, 2] = infinity
        with np.errstate(invalid="ignore"):
            count, mean, _, _ = backend.column_moments(layout(X))
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


@all_pairs(each_backend, pytest.mark.parametrize("layout", [c_order, f_order]), pytest.mark.parametrize("column", HARD))
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
    count, mean, _, squares = backend.column_moments(layout(X))
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
    monkeypatch.setattr(reference.Backend, "block_elements", 2**18)
    X = layout((1 + 1e-3 * normal((2**22, 2))).astype(np.float32))
    count, mean, _, squares = backend.column_moments(X)
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
    some, nothing = exact_moments(1e8 + normal((50, 3))), Moments(*np.zeros((4, 3)))
    np.testing.assert_array_equal(merge(some, nothing)[:4], some[:4])
    np.testing.assert_array_equal(merge(nothing, some)[:4], some[:4])
    np.testing.assert_array_equal(merge(nothing, nothing)[:4], nothing[:4])


def test_variance():
    moments = Moments(np.array([4.0, 0.0]), np.zeros(2), np.zeros(2), np.array([12.0, 0.0]))
    np.testing.assert_array_equal(moments.variance(), [3, np.nan])


def test_moments_from_statistics():
    found = moments_from_statistics(np.array([4, 0, 0]), np.array([1, np.nan, 5]), np.array([2, np.nan, 5]))
    np.testing.assert_array_equal(found[:4], [[4, 0, 0], [1, 0, 0], [0, 0, 0], [8, 0, 0]])


values = st.one_of(st.just(np.nan), st.floats(-100, 100, width=32))
tables = st.tuples(st.integers(1, 40), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=values)
)


@settings(deadline=None)
@given(X=tables, cuts=st.lists(st.integers(0, 40)), weighted=st.booleans())
def test_any_chunking_is_one_pass(X, cuts, weighted):
    weight = np.random.default_rng(3).integers(0, 3, len(X)) / 2 if weighted else None
    backend = BACKENDS["cpu"]
    total = Moments(*np.zeros((4, X.shape[1])))
    bounds = [0, *sorted(min(cut, len(X)) for cut in cuts), len(X)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        if start < stop:
            part = None if weight is None else weight[start:stop]
            total = merge(total, column_moments(rows_of(backend, X[start:stop]), part))
    assert_moments(total, column_moments(rows_of(backend, X), weight), rtol=1e-12, scale=100)
    assert_moments(total, exact_moments(X, weight), rtol=1e-12, scale=100)


# ---- sparse and on the device -----------------------------------------------------------


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
    pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"]),
    pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_array]),
)
def test_sparse_moments(container, gaps, weighted, dtype):
    X = normal((200, 4), dtype) * (np.random.default_rng(4).random((200, 4)) < 0.3)
    X = with_gaps(X) if gaps else X
    weight = np.random.default_rng(2).integers(0, 4, len(X)) / 4 if weighted else None
    found = column_moments(rows_of(BACKENDS["cpu"], container(X)), weight)
    assert [part.dtype for part in found[:4]] == [np.float64] * 4
    assert_moments(found, exact_moments(X, weight), scale=1)


@each_dtype
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_moments_on_the_device(dtype, weighted):
    X = with_gaps(normal((3000, 4), dtype))
    weight = np.random.default_rng(2).random(3000) if weighted else None
    with cupy_standin.installed() as cupy:
        from sknn._backend import get_backend

        found = column_moments(rows_of(get_backend("cupy"), cupy.asarray(X)), weight)
    assert [type(part) for part in found[:4]] == [np.ndarray] * 4
    assert_moments(found, exact_moments(X, weight), scale=1)


# ---- extremes ---------------------------------------------------------------------------

INTEGERS = [np.dtype(name) for name in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")]


@all_pairs(
    each_backend,
    pytest.mark.parametrize("dtype", [np.float32, np.float64, *INTEGERS], ids=str),
    pytest.mark.parametrize("layout", LAYOUTS),
)
@pytest.mark.fast_share(3)
def test_extremes(layout, dtype, backend):
    X = (50 + 20 * normal((3000, 5))).astype(dtype)
    low, high = backend.column_extremes(layout(X))
    np.testing.assert_array_equal([low, high], [X.min(axis=0), X.max(axis=0)])
    assert low.dtype == high.dtype == np.float64


@each_backend
@each_dtype
@pytest.mark.parametrize("layout", [c_order, f_order])
def test_extremes_without_what_is_missing(layout, dtype, backend):
    X = with_gaps(normal((3000, 4), dtype))
    X[7, 0], X[8, 2] = np.inf, -np.inf
    low, high = backend.column_extremes(layout(X))
    known = [0, 2, 3]
    np.testing.assert_array_equal(low[known], np.nanmin(X[:, known], axis=0))
    np.testing.assert_array_equal(high[known], np.nanmax(X[:, known], axis=0))
    assert (low[1], high[1]) == (np.inf, -np.inf)


@each_backend
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_are_read_as_they_are(dtype, backend):
    info = np.iinfo(dtype)
    X = np.array([[info.min, info.max, 1], [info.max, info.max, 0]], dtype)
    np.testing.assert_array_equal(backend.column_extremes(X)[0], X.min(axis=0).astype(float))
    np.testing.assert_array_equal(backend.column_extremes(X)[1], X.max(axis=0).astype(float))
    Y = (100 * np.random.default_rng(0).random((3000, 4))).astype(dtype)
    assert_moments(backend.column_moments(Y), exact_moments(Y))


# ---- groups of the features of a row ----------------------------------------------------

SHAPES = [(1, 1, 30), (10, 3, 1), (1, 3, 10), (2, 3, 5), (1, 1, 1), (30, 1, 1)]


@all_pairs(
    each_backend,
    each_dtype,
    pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"]),
    pytest.mark.parametrize("shape", SHAPES, ids=str),
)
def test_group_statistics(shape, gaps, dtype, backend):
    x = 1e3 + normal((50, *shape), dtype)
    if gaps:
        x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
        x[3, :, 0] = np.nan
    columns = np.moveaxis(x, 2, 0).reshape(shape[1] * 50, -1).T
    exact = exact_moments(columns)
    count, mean, squares = (np.asarray(part).T.reshape(-1) for part in backend.group_moments(x))
    assert_moments((count, mean, 0 * mean, squares), exact, scale=1)
    seen = exact.count > 0
    low, high = (end.T.reshape(-1) for end in backend.group_extremes(x))
    np.testing.assert_array_equal(low[seen], np.nanmin(columns[:, seen], axis=0))
    np.testing.assert_array_equal(high[seen], np.nanmax(columns[:, seen], axis=0))
    assert (low[~seen] == np.inf).all() and (high[~seen] == -np.inf).all()


@all_pairs(each_backend, each_dtype, pytest.mark.parametrize("shape", SHAPES, ids=str))
def test_scaling_of_groups(shape, dtype, backend):
    x = normal((50, *shape), dtype)
    shift, scale = 1 + np.random.default_rng(5).random((2, 50, 1, shape[1], 1)).astype(dtype)
    expected = (x - shift) / scale
    backend.shift_scale(x, shift, scale)
    np.testing.assert_array_equal(x, expected, strict=True)


# ---- pooling columns into groups --------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
@pytest.mark.parametrize("channels", ["last", "first"])
def test_pooled_columns_are_channels(channels, gaps):
    images = 1e6 + normal((40, 3, 4, 5)) * [[[[1.0]], [[10.0]], [[0.1]]]]
    if gaps:
        images[np.random.default_rng(1).random(images.shape) < 0.3] = np.nan
        images[:, :, 0, 0] = np.nan
    stored = images if channels == "first" else np.moveaxis(images, 1, -1)
    groups = feature_groups("channel", stored.shape[1:], channels, 60)
    moments = column_moments(rows_of(BACKENDS["cpu"], stored))
    exact = exact_moments(np.moveaxis(images, 1, -1).reshape(-1, 3))
    assert_moments(groups.pool_moments(moments), exact, rtol=1e-12)
    low, high = groups.pool_extremes(*column_extremes(rows_of(BACKENDS["cpu"], stored)))
    np.testing.assert_array_equal(low, np.nanmin(images, axis=(0, 2, 3)))
    np.testing.assert_array_equal(high, np.nanmax(images, axis=(0, 2, 3)))


def test_chunks_far_from_zero_are_one_pass():
    X = 1e8 + normal((5000, 3))
    backend, whole = BACKENDS["cpu"], column_moments(rows_of(BACKENDS["cpu"], X))
    for size in (1, 7, 1000):
        parts = [column_moments(rows_of(backend, X[i : i + size])) for i in range(0, len(X), size)]
        total = reduce(merge, parts)
        np.testing.assert_allclose(total.mean + total.rest, whole.mean + whole.rest, rtol=1e-15)
        np.testing.assert_allclose(total.squares, whole.squares, rtol=1e-12)


# ---- elementwise ------------------------------------------------------------------------

KERNELS = {
    "shift_scale": lambda x, shift, scale: (x - shift) / scale,
    "scale_shift": lambda x, scale, shift: x * scale + shift,
}


@all_pairs(
    each_backend,
    [each_dtype, pytest.mark.parametrize("layout", LAYOUTS)],
    pytest.mark.parametrize("kernel", KERNELS),
    pytest.mark.parametrize("in_place", [False, True], ids=["copy", "in place"]),
)
@pytest.mark.fast_share(5)
def test_scaling(in_place, kernel, layout, dtype, backend):
    X = with_gaps(100 * normal((30_000, 7), dtype))
    X[3] = [3, -2, 0, -0.0, 1e30, 1e-30, 1]
    first, second = 1 + np.random.default_rng(5).random((2, 7)).astype(dtype)
    laid_out = layout(X).copy(order="K") if in_place else layout(X)

    def step(block):
        getattr(backend, kernel)(block, first, second)

    out = map_rows(rows_of(backend, laid_out), [step], np.dtype(dtype), in_place)
    np.testing.assert_array_equal(out, KERNELS[kernel](X, first, second), strict=True)
    assert (out is laid_out) == in_place
    if not in_place:
        np.testing.assert_array_equal(laid_out, X)


@each_backend
@pytest.mark.parametrize("kernel", KERNELS)
def test_scaling_warns_of_nothing_and_takes_any_number_of_columns(kernel, backend):
    for n_features in (1, 3, 5000):
        X, (first, second) = normal((9, n_features)), 1 + np.random.default_rng(0).random((2, n_features))
        out = X.copy()
        getattr(backend, kernel)(out, first, second)
        np.testing.assert_array_equal(out, KERNELS[kernel](X, first, second))


@each_backend
@pytest.mark.parametrize("given, dtype", [("u1", "f4"), ("i4", "f4"), ("i8", "f8"), ("f8", "f4"), ("f4", "f8")])
def test_no_value_is_rounded_before_it_is_worked_on(given, dtype, backend):
    X = (10**8 * (given != "u1") + np.arange(200)).astype(given).reshape(-1, 2)
    shift = X.astype(float).mean(axis=0)

    def step(block):
        backend.shift_scale(block, shift.astype(block.dtype), np.ones(2, block.dtype))

    out = map_rows(rows_of(backend, X), [step], np.dtype(dtype), in_place=False)
    np.testing.assert_array_equal(out, (X - shift).astype(dtype), strict=True)


@each_backend
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_nothing_is_written_where_infinity_is_found(infinity, backend):
    X = normal((40_000, 5))
    X[-1, 3], X[0, 0] = infinity, np.nan
    before = X.copy()
    for in_place in (False, True):
        with pytest.raises(ValueError, match="contains infinity"):
            map_rows(rows_of(backend, X), [lambda block: block.fill(0)], X.dtype, in_place)
    np.testing.assert_array_equal(X, before)
    assert not backend.has_infinity(X[:-1])


@each_backend
@pytest.mark.parametrize("dtype", [np.float32, np.float64, *INTEGERS], ids=str)
def test_centering(dtype, backend):
    X = (50 + 20 * normal((300, 5))).astype(dtype)
    mean, out = np.linspace(0, 1e3, 5), np.full((300, 5), np.nan)
    backend.center(X, mean, out)
    np.testing.assert_array_equal(out, X.astype(float) - mean)


# ---- threads ----------------------------------------------------------------------------


def test_pieces_are_worked_on_in_their_order_by_threads(monkeypatch):
    backend, names = BACKENDS["cpu"], []
    monkeypatch.setattr(cpu, "thread_count", lambda: 4)
    barrier = threading.Barrier(4, timeout=30)

    def work(piece):
        barrier.wait()
        names.append(threading.current_thread().name)
        return piece

    assert backend.map_pieces(work, list(range(4))) == [0, 1, 2, 3]
    assert len(set(names)) == 4


def test_blas_has_one_thread_for_a_while():
    def numbers():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = numbers()
    with BACKENDS["cpu"].one_blas_thread():
        assert set(numbers()) == {1}
    assert numbers() == before
    with BACKENDS["reference"].one_blas_thread():
        assert numbers() == before


@pytest.mark.parametrize("told, expected", [("", 8), ("3", 3), ("1", 1), ("64", 8), ("two", 8)])
def test_number_of_threads(told, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(cpu.numba.config, "NUMBA_NUM_THREADS", 8)
    assert cpu.thread_count() == expected


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    X, found = with_gaps(normal((600_000, 4))), []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr(cpu, "thread_count", lambda n=n_threads: n)
        found.append(column_moments(rows_of(BACKENDS["cpu"], X))[:4])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
