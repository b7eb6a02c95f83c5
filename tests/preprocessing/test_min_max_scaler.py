"""MinMaxScaler beside scikit-learn's: attributes to the bit, outputs within the rounding of the formula."""

import copy
import inspect
import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import preprocessing
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import sknn._backend
from sknn import config_context
from sknn._backend import reference
from sknn.preprocessing import MinMaxScaler
from tests.support import cupy_standin
from tests.support.designs import all_pairs, in_turns, shared_out

EXTREMES = ["data_min_", "data_max_", "data_range_"]
ATTRIBUTES = [*EXTREMES, "scale_", "min_"]
RANGES = [(0, 1), (-1, 1), (0.01, 1), (-3.5, 17)]
each_set_of_kernels = pytest.mark.parametrize("kernels", ["compiled", "plain"], indirect=True)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_range = pytest.mark.parametrize("ends", RANGES, ids=str)
each_direction = pytest.mark.parametrize("method", ["transform", "inverse_transform"])
each_clip = pytest.mark.parametrize("clip", [False, True], ids=["free", "clip"])
each_gaps = pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])


@pytest.fixture
def kernels(request, monkeypatch):
    """Both sets of kernels on the CPU: compiled, and in plain NumPy."""
    if request.param == "plain":
        plain = reference.Backend(np)
        monkeypatch.setattr(sknn._backend, "_numpy_backend", lambda: plain)


def table(dtype=np.float64, gaps=False, n_rows=60):
    """Return rows of columns that differ in size and place; the last two are constant, one of them far from 0."""
    rng = np.random.default_rng(3)
    X = rng.normal([0, 5, -300, 0.01], [1, 2, 50, 0.001], (n_rows, 4))
    X = np.column_stack([X, np.full(n_rows, 0.1), np.full(n_rows, -7e5)]).astype(dtype)
    if gaps:
        X[1:][rng.random((n_rows - 1, 6)) < 0.25] = np.nan
    return X


def twin_of(X, **options):
    """Return scikit-learn's scaler with float64 statistics, whatever the type of X."""
    return preprocessing.MinMaxScaler(**options).fit(np.asarray(X, np.float64))


def assert_same_statistics(mine, twin):
    assert mine.n_samples_seen_ == twin.n_samples_seen_
    assert mine.n_features_in_ == twin.n_features_in_
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(mine, name), getattr(twin, name), err_msg=name, strict=True)


def assert_within_rounding(found, expected, size, dtype):
    """Few roundings of numbers of this ``size``, a number or one for each entry."""
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert (np.nan_to_num(np.abs(found - expected)) <= 4 * np.finfo(dtype).eps * np.nan_to_num(size)).all()


# ---- the twin ---------------------------------------------------------------------------


def test_parameters_and_signatures():
    twin = preprocessing.MinMaxScaler()
    images = {"data_range": None, "per": "feature", "image_shape": None, "channels": "last"}
    assert MinMaxScaler().get_params() == {**twin.get_params(), **images, "dtype": None, "backend": None}
    assert MinMaxScaler((1, 2)).feature_range == (1, 2)
    with pytest.raises(TypeError, match="positional"):
        MinMaxScaler((1, 2), True)
    for method in ("fit", "partial_fit", "transform", "inverse_transform"):
        mine, other = (inspect.signature(getattr(cls, method)) for cls in (MinMaxScaler, type(twin)))
        assert [(p.name, p.kind, p.default) for p in mine.parameters.values()] == [
            (p.name, p.kind, p.default) for p in other.parameters.values()
        ]


def test_small_ranges_of_float32_are_ranges():
    X = np.array([[0], [1e-7], [5e-7]], np.float32)
    np.testing.assert_allclose(MinMaxScaler().fit_transform(X)[:, 0], [0, 0.2, 1], rtol=1e-6)


@all_pairs(each_dtype, each_range, each_clip, each_gaps, pytest.mark.parametrize("order", "CF"), each_set_of_kernels)
def test_fit_and_transform_are_those_of_the_twin(order, gaps, clip, ends, dtype, kernels):
    X = np.asarray(table(dtype, gaps), order=order)
    mine, twin = MinMaxScaler(ends, clip=clip).fit(X), twin_of(X, feature_range=ends, clip=clip)
    assert_same_statistics(mine, twin)
    new = np.vstack([X, X[:5] * 1.5 + 1])
    # scikit-learn adds two numbers of this size, and float32 data are off by that much from it
    size = np.abs(new * twin.scale_) + np.abs(twin.min_) + np.abs(ends).max()
    scaled = twin.transform(new.astype(float))
    assert_within_rounding(mine.transform(new), scaled, size, dtype)
    size = (np.abs(new) + np.abs(ends).max() + np.abs(twin.min_)) / twin.scale_
    assert_within_rounding(mine.inverse_transform(new), twin.inverse_transform(new.astype(float)), size, dtype)


@each_dtype
@each_gaps
@settings(max_examples=40)
@given(cuts=st.lists(st.integers(1, 59), unique=True, max_size=6).map(sorted))
def test_any_pieces_are_one_fit_of_the_twin(gaps, dtype, cuts):
    X, scaler = table(dtype, gaps), MinMaxScaler((-1, 3))
    for start, stop in itertools.pairwise([0, *cuts, 60]):
        scaler.partial_fit(X[start:stop])
    assert_same_statistics(scaler, twin_of(X, feature_range=(-1, 3)))


@given(
    X=arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.floats(-1e100, 1e100)),
    ends=st.tuples(st.floats(-100, 100), st.floats(0.1, 100)).map(lambda pair: (pair[0], sum(pair))),
)
def test_any_statistics_are_those_of_the_twin(X, ends):
    ranges = np.ptp(X, axis=0)
    assume(((ranges == 0) | (ranges > 1e-14)).all())  # scikit-learn takes smaller ranges for none
    assert_same_statistics(MinMaxScaler(ends).fit(X), twin_of(X, feature_range=ends))


@pytest.mark.parametrize("per", ["feature", "channel", "sample"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [3.2e-19, 2.0**-1022, 2.0**-1070, 2.0**-148])
def test_a_small_range_is_a_range(width, dtype, per):
    X = (np.array([0, 0.5, 1]) * width).astype(dtype)
    if X[2] == 0:
        pytest.skip("float32 has no number so small")
    images = X.reshape((1, 1, 3, 1) if per == "sample" else (3, 1, 1, 1))
    scaler = MinMaxScaler(per=per)
    scaled = scaler.fit_transform(X[:, None] if per == "feature" else images)
    np.testing.assert_array_equal(scaled.ravel(), np.array([0, 0.5, 1], dtype))
    if per != "sample":
        np.testing.assert_array_equal(scaler.inverse_transform(scaled).ravel(), X)


@pytest.mark.parametrize("low", [1.0, -1e8])
def test_neighbouring_numbers_are_a_range(low):
    X = np.array([[low], [np.nextafter(low, np.inf)]])
    np.testing.assert_array_equal(MinMaxScaler().fit_transform(X), [[0], [1]])


@pytest.mark.parametrize("per", ["feature", "channel", "sample"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("share", [1, 0.9, 2.0**-60])
def test_a_range_that_overflows(share, dtype, per):
    most = np.finfo(dtype).max * dtype(share)
    X = np.array([-most, 0, most / 2, most], dtype)
    images = X.reshape((1, 2, 2, 1) if per == "sample" else (4, 1, 1, 1))
    scaler = MinMaxScaler((-1, 1), per=per)
    scaled = scaler.fit_transform(X[:, None] if per == "feature" else images)
    np.testing.assert_array_equal(scaled.ravel(), np.array([-1, 0, 0.5, 1], dtype))
    if per != "sample":
        np.testing.assert_allclose(scaler.inverse_transform(scaled).ravel(), X, rtol=2 * np.finfo(dtype).eps)
        np.testing.assert_allclose(scaler.scale_, 1 / float(most), rtol=1e-15)
        np.testing.assert_allclose(scaler.min_, 0, atol=1e-15)


def test_a_known_range_and_a_range_of_results_that_overflow():
    X = np.array([[-1e308], [0], [1e308]])
    scaler = MinMaxScaler((-1e308, 1e308)).fit([[-1.0], [1.0]])
    np.testing.assert_allclose(scaler.transform(X / 1e308), X, rtol=1e-15)
    np.testing.assert_allclose(scaler.inverse_transform(X), X / 1e308, rtol=1e-15)
    np.testing.assert_allclose(scaler.scale_, 1e308, rtol=1e-15)
    np.testing.assert_allclose(MinMaxScaler(data_range=(-1e308, 1e308)).transform(X), [[0], [0.5], [1]], rtol=1e-15)


@each_range
@pytest.mark.parametrize("value", [0, 0.1, -1e8 / 3, 255])
def test_constant_features_go_to_the_start_of_the_range(value, ends):
    X = np.full((7, 2), value, float)
    scaler = MinMaxScaler(ends).fit(X)
    np.testing.assert_array_equal(scaler.transform(X), np.full((7, 2), ends[0], float))
    np.testing.assert_array_equal(scaler.inverse_transform(scaler.transform(X)), X)


NUMBERS = {
    "lists": [[1, 2], [3, 5]],
    "booleans": np.eye(3, dtype=bool),
    "objects": np.array([[1, 2.5], [3, 5]], object),
    **{name: np.array([[0, 3], [100, 7], [50, 3]], name) for name in ("u1", "i1", "u2", "i4", "i8", "u8")},
    "ends of int8": np.array([[-128], [127], [0]], "i1"),
    "ends of int64": np.array([[-(2**63)], [2**63 - 1], [0]], "i8"),
    "end of uint64": np.array([[0], [2**64 - 1], [2**63]], "u8"),
}


@pytest.mark.parametrize("X", NUMBERS.values(), ids=NUMBERS)
@each_set_of_kernels
def test_numbers_of_other_types_become_float64(X, kernels):
    mine, twin = MinMaxScaler().fit(X), twin_of(X)
    assert_same_statistics(mine, twin)
    assert_within_rounding(mine.transform(X), twin.transform(np.asarray(X, float)), 1, np.float64)
    back = mine.inverse_transform(X)
    assert_within_rounding(back, twin.inverse_transform(np.asarray(X, float)), np.abs(back), np.float64)


@pytest.mark.parametrize("given", ["u1", "i2", "i8", "f4", "f8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_what_comes_out(dtype, given):
    X = np.arange(0, 120, 5).reshape(8, 3).astype(given)
    scaler = MinMaxScaler((-1, 1), dtype=dtype).fit(X)
    exact = twin_of(X, feature_range=(-1, 1)).transform(X.astype(float))
    assert_within_rounding(scaler.transform(X), exact, 1, np.dtype(dtype))
    assert_within_rounding(scaler.inverse_transform(exact.astype(dtype)), X.astype(float), 200, np.dtype(dtype))


# ---- the ends ---------------------------------------------------------------------------

data = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(1, 3)), elements=st.floats(-1e6, 1e6, width=32))


@all_pairs(each_dtype, each_range, pytest.mark.parametrize("per", ["feature", "image", "sample"]))
@settings(max_examples=40)
@given(X=data)
@pytest.mark.fast_share(5)
def test_ends_of_the_data_are_exactly_the_ends_of_the_range(per, ends, dtype, X):
    X, axis = X.astype(dtype), 1 if per == "sample" else 0
    scaled = MinMaxScaler(ends, per=per).fit_transform(X)
    varies = np.ptp(X.astype(float), axis=axis) > 1e-14
    np.testing.assert_array_equal(scaled.min(axis=axis), dtype(ends[0]))
    np.testing.assert_array_equal(scaled.max(axis=axis)[varies], dtype(ends[1]))


hundredths = st.tuples(st.integers(-500, 500), st.integers(1, 500)).map(lambda n: (n[0] / 100, (n[0] + n[1]) / 100))


@each_dtype
@given(ends=hundredths)
@example(ends=(0.1, 0.9))
@example(ends=(-0.1, 0.2))
def test_any_ends_of_the_range_are_met_but_for_the_rounding_of_its_width(dtype, ends):
    scaled = MinMaxScaler(ends).fit_transform(np.array([[-3.0], [0.5], [7.0]], dtype))
    rounding = np.finfo(dtype).eps * np.abs(ends).max()
    np.testing.assert_allclose(scaled[[0, 2], 0], np.array(ends, dtype), rtol=0, atol=rounding)


@each_dtype
@given(ends=hundredths)
def test_clipped_values_are_within_the_range(dtype, ends):
    scaler = MinMaxScaler(ends, clip=True).fit(np.array([[-3.0], [0.5], [7.0]], dtype))
    clipped = scaler.transform(np.array([[-1e5], [-3.0], [1e5], [np.nan], [7.0]], dtype))[:, 0]
    start, end = np.array(ends, dtype)
    np.testing.assert_array_equal(clipped[:4], [start, start, end, np.nan])
    assert start <= clipped[4] <= end


# ---- a range that is known --------------------------------------------------------------

PIXELS = np.random.default_rng(0).permutation(np.arange(256, dtype=np.uint8)).reshape(8, 32)
SHAPES = {"table": (8, 32), "grey": (8, 4, 8), "last": (8, 4, 4, 2), "one row": (1, 256), "wide": (2, 128, 1)}
FORMULAS = {(0, 1): lambda x: x / 255, (-1, 1): lambda x: x / 255 * 2 - 1, (0.01, 1): lambda x: x / 255 * 0.99 + 0.01}
each_known = pytest.mark.parametrize("ends", FORMULAS, ids=str)
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@all_pairs(
    each_known,
    each_shape,
    pytest.mark.parametrize("dtype", ["float32", "float64"]),
    pytest.mark.parametrize("per", ["feature", "image", "sample"]),
    each_set_of_kernels,
)
def test_a_known_range_is_the_formula_to_the_bit(per, dtype, shape, ends, kernels):
    pixels = PIXELS.reshape(shape)
    scaler = MinMaxScaler(ends, data_range=(0, 255), dtype=dtype, per=per)
    scaled = scaler.transform(pixels)  # without fit
    np.testing.assert_array_equal(scaled, FORMULAS[ends](pixels.astype(dtype)), strict=True)
    np.testing.assert_array_equal(scaler.fit(pixels).transform(pixels), scaled)
    np.testing.assert_array_equal(scaler.partial_fit(pixels).transform(pixels), scaled)
    assert set(np.ravel(scaled)[[pixels.argmin(), pixels.argmax()]]) == set(np.array(ends, dtype))
    back = clone(scaler).inverse_transform(scaled)
    assert_within_rounding(back, pixels.astype(dtype), 255, np.dtype(dtype))
    assert not any(hasattr(scaler, name) for name in [*ATTRIBUTES, "n_samples_seen_"])


@each_known
@pytest.mark.parametrize("given, worked", [("i4", "f8"), ("f8", "f8"), ("f4", "f4"), ("u2", "f4"), ("i1", "f4")])
def test_a_known_range_is_worked_on_before_it_is_rounded(given, worked, ends):
    pixels = (PIXELS.reshape(8, 4, 8) // 2).astype(given)
    scaled = MinMaxScaler(ends, data_range=(0, 255), dtype="float32").transform(pixels)
    np.testing.assert_array_equal(scaled, FORMULAS[ends](pixels.astype(worked)).astype("f4"), strict=True)


@each_known
def test_a_known_range_of_views_and_in_place(ends):
    view = np.moveaxis(PIXELS.astype(float).reshape(8, 4, 4, 2), -1, 1)
    expected = FORMULAS[ends](view)
    scaler = MinMaxScaler(ends, data_range=(0, 255), copy=False)
    assert scaler.transform(view) is view
    np.testing.assert_array_equal(view, expected)


def test_a_known_range_may_be_left_by_the_data_unless_clipped():
    X = np.array([[-51.0, 0, 255, 510, np.nan]])
    scaler = MinMaxScaler(data_range=(0, 255))
    np.testing.assert_array_equal(scaler.transform(X), [[-0.2, 0, 1, 2, np.nan]])
    np.testing.assert_array_equal(scaler.set_params(clip=True).transform(X), [[0, 0, 1, 1, np.nan]])
    np.testing.assert_array_equal(MinMaxScaler(data_range=[-1, 3]).inverse_transform([[0.0, 1, 0.5]]), [[-1, 3, 1]])


def test_a_known_range_takes_any_shape_until_fit_has_seen_one():
    scaler = MinMaxScaler(data_range=(0, 255))
    for shape in SHAPES.values():
        assert scaler.transform(PIXELS.reshape(shape)).shape == shape
    assert vars(scaler) == vars(MinMaxScaler(data_range=(0, 255)))
    with pytest.raises(ValueError, match="X has 16 features, but MinMaxScaler is expecting 32 features"):
        scaler.fit(PIXELS).transform(PIXELS[:, :16])
    with pytest.raises(ValueError, match="X has 16 features, but MinMaxScaler is expecting 32 features"):
        scaler.inverse_transform(PIXELS[:, :16])


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "inverse_transform"])
@pytest.mark.parametrize("shape", [(8, 4, 8), (8, 32)], ids=str)
def test_a_known_range_has_no_infinity(shape, method):
    X = PIXELS.astype(float).reshape(shape)
    X[5, 3] = -np.inf
    before = X.copy()
    with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large for dtype\('float64'\)"):
        getattr(MinMaxScaler(data_range=(0, 255), copy=False), method)(X)
    np.testing.assert_array_equal(X, before)


# ---- missing values ---------------------------------------------------------------------


@each_set_of_kernels
def test_a_feature_may_be_missing_from_a_part_of_the_rows(kernels):
    X = table(n_rows=90)
    X[:30, 0] = X[30:60, 1] = X[60:, 3] = np.nan
    X[:, 2] = np.nan
    scaler = MinMaxScaler()
    for piece in np.split(X, 3):
        scaler.partial_fit(piece)
    seen = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(scaler.data_min_[seen], np.nanmin(X[:, seen], axis=0))
    np.testing.assert_array_equal(scaler.data_max_[seen], np.nanmax(X[:, seen], axis=0))
    assert all(np.isnan(getattr(scaler, name)[2]) for name in ATTRIBUTES)
    assert scaler.n_samples_seen_ == 90
    for method in (scaler.transform, scaler.inverse_transform):
        np.testing.assert_array_equal(np.isnan(method(X)), np.isnan(X))


@pytest.mark.parametrize("clip", [False, True])
@each_set_of_kernels
def test_a_sample_without_any_value_stays_so(clip, kernels):
    X = np.array([[np.nan, np.nan], [1, 3], [np.nan, 5]])
    scaled = MinMaxScaler(per="sample", clip=clip).transform(X)
    np.testing.assert_array_equal(scaled, [[np.nan, np.nan], [0, 1], [np.nan, 0]])


def test_missing_values_of_frames():
    frame = pd.DataFrame({"a": [1.5, None, 4], "b": [1, 2, None]}).convert_dtypes()
    mine, twin = MinMaxScaler().fit(frame), preprocessing.MinMaxScaler().fit(frame)
    assert_same_statistics(mine, twin)
    np.testing.assert_allclose(mine.transform(frame), twin.transform(frame), rtol=1e-15)


# ---- what goes in -----------------------------------------------------------------------


def frozen(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "F order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "read-only": frozen,
    "read-only F order": lambda X: frozen(X.T).T,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "pandas": pd.DataFrame,
    "polars": lambda X: pl.DataFrame(X, schema=[f"x{i}" for i in range(X.shape[1])]),
}


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("layout", LAYOUTS),
    pytest.mark.parametrize("in_place", [False, True], ids=["copy", "in place"]),
)
def test_layouts_change_no_bit(layout, in_place, dtype):
    X = table(dtype, gaps=True)
    laid_out = LAYOUTS[layout](X)
    expected = MinMaxScaler((-1, 1)).fit(X)
    scaler = MinMaxScaler((-1, 1), copy=not in_place).fit(laid_out)
    assert_same_statistics(scaler, expected)
    scaled = scaler.transform(laid_out)
    np.testing.assert_array_equal(scaled, expected.transform(X))
    if not in_place or "read-only" in layout:
        np.testing.assert_array_equal(np.asarray(laid_out), X)
    back = scaler.inverse_transform(LAYOUTS[layout](np.array(scaled)))
    np.testing.assert_array_equal(back, expected.inverse_transform(expected.transform(X)))


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_memory_maps(mode, tmp_path):
    X = table(gaps=True)
    np.save(tmp_path / "X.npy", X)
    mapped, expected = np.load(tmp_path / "X.npy", mmap_mode=mode), MinMaxScaler().fit(X)
    scaler = MinMaxScaler(copy=False).fit(mapped)
    assert_same_statistics(scaler, expected)
    np.testing.assert_array_equal(scaler.transform(mapped), expected.transform(X))
    if mode == "r":
        np.testing.assert_array_equal(mapped, X)


@each_dtype
@each_direction
@pytest.mark.parametrize("order", "CF")
def test_in_place_or_not(order, method, dtype):
    X = np.asarray(table(dtype), order=order)
    before = X.copy()
    scaler = MinMaxScaler((-1, 2), clip=True).fit(X)
    expected = getattr(scaler, method)(X)
    np.testing.assert_array_equal(X, before)
    assert not np.shares_memory(expected, X)
    assert expected.flags.f_contiguous == (order == "F")
    assert getattr(scaler.set_params(copy=False), method)(X) is X
    np.testing.assert_array_equal(X, expected)


def test_what_cannot_be_scaled_in_place_is_left_alone():
    scaler = MinMaxScaler(copy=False)
    for X in (frozen(table()), np.arange(12).reshape(4, 3), table(np.float32)):
        before = X.copy()
        scaler.set_params(dtype="float64" if X.dtype == np.float32 else None)
        scaled = scaler.fit(X).transform(X)
        assert not np.shares_memory(scaled, X) and scaled.dtype == np.float64
        np.testing.assert_array_equal(X, before)


def test_rows_of_more_than_one_block_and_values_of_more_than_one_row():
    for shape in ((70_000, 33), (3, 2**18 + 5)):
        X = np.random.default_rng(0).integers(-1000, 1000, shape, dtype=np.int16)
        mine = MinMaxScaler().fit(X)
        np.testing.assert_array_equal(mine.data_min_, X.min(axis=0))
        np.testing.assert_array_equal(mine.data_max_, X.max(axis=0))
        width = np.where(mine.data_range_ == 0, 1, mine.data_range_)
        np.testing.assert_array_equal(mine.transform(X), (X - mine.data_min_) / width)


# ---- what is refused --------------------------------------------------------------------

BAD_PARAMETERS = [
    *itertools.product(
        ["feature_range", "data_range"], [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (1,), "0-1", 3, (0, "1"), {0, 1}]
    ),
    ("feature_range", None),
    ("clip", "yes"),
    ("copy", 1),
    ("per", "row"),
    ("channels", "middle"),
    ("image_shape", (0, 3)),
    ("dtype", "float16"),
    ("backend", "numba"),
]


@in_turns(
    pytest.mark.parametrize("name, value", BAD_PARAMETERS, ids=str),
    pytest.mark.parametrize("fit", ["fit", "partial_fit", "fit_transform"]),
)
def test_bad_parameters(fit, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*; got "):
        getattr(MinMaxScaler(**{name: value}), fit)(table())


@pytest.mark.parametrize("name, value", [("data_range", (3, 3)), ("feature_range", (1, 0)), ("clip", 0)])
@each_direction
def test_bad_parameters_where_no_fit_is_needed(method, name, value):
    scaler = MinMaxScaler(**{"data_range": (0, 255), name: value})
    with pytest.raises(ValueError, match=f"^{name} must be .*; got "):
        getattr(scaler, method)(PIXELS)


BAD_ROWS = {
    "one row": (np.ones(3), "Expected 2D array"),
    "images": (np.ones((3, 3, 2)), r"takes a table .*got an array of shape \(3, 3, 2\).*per='image'"),
    "no rows": (np.ones((0, 6)), "0 sample"),
    "no features": (np.ones((6, 0)), "0 feature"),
    "text": ([["a"] * 6], "could not convert string to float"),
    "complex": (np.ones((3, 6), complex), "Complex data not supported"),
    "fewer features": (np.ones((3, 5)), "X has 5 features, but MinMaxScaler is expecting 6 features as input"),
    "infinity": (np.full((3, 6), np.inf), "contains infinity"),
    "minus infinity": (np.full((3, 6), -np.inf, np.float32), r"contains infinity .*float32"),
}


@all_pairs(
    pytest.mark.parametrize("X, message", BAD_ROWS.values(), ids=BAD_ROWS),
    pytest.mark.parametrize("method", ["partial_fit", "transform", "inverse_transform"]),
    each_set_of_kernels,
)
def test_bad_rows_change_nothing(method, X, message, kernels):
    scaler = MinMaxScaler(copy=False).fit(table())
    state, before = pickle.dumps(scaler), copy.copy(X)
    with pytest.raises(ValueError, match=message):
        getattr(scaler, method)(X)
    assert pickle.dumps(scaler) == state
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
@pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_sparse_rows_are_refused(container, method):
    scaler = MinMaxScaler().fit(table())
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        getattr(scaler, method)(container(table()))


@each_direction
def test_what_needs_fit_says_so(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(MinMaxScaler(), method)(table())


def test_a_range_of_samples_is_not_undone():
    scaler = MinMaxScaler(per="sample").fit(table())
    assert not hasattr(scaler, "inverse_transform")
    assert hasattr(scaler.set_params(data_range=(0, 1)), "inverse_transform")
    with pytest.raises(AttributeError, match="inverse_transform"):
        _ = MinMaxScaler(per="sample").inverse_transform


def test_a_bad_fit_after_a_good_one_leaves_the_good_one():
    scaler = MinMaxScaler().fit(table())
    state = pickle.dumps(scaler)
    X = table()
    X[3, 3] = np.inf
    for call in (scaler.fit, scaler.partial_fit):
        with pytest.raises(ValueError, match="contains infinity"):
            call(X)
    assert pickle.dumps(scaler) == state


# ---- frames, pickles, clones ------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_keep_their_names(make):
    frame = make(dict(zip("abcdef", table(gaps=True).T, strict=True)))
    container = "pandas" if make is pd.DataFrame else "polars"
    scaler, twin = MinMaxScaler().fit(frame), preprocessing.MinMaxScaler().fit(frame)
    names = list(twin.get_feature_names_out())  # scikit-learn 1.6 finds none in frames of polars 2
    assert list(scaler.get_feature_names_out()) == names
    plain = scaler.transform(frame)
    assert type(plain) is np.ndarray
    back = scaler.inverse_transform(plain)  # of rows without names, and that is no warning
    assert_within_rounding(back, frame.to_numpy(), np.abs(scaler.data_min_) + scaler.data_range_, np.float64)
    named = clone(scaler.set_output(transform=container)).fit_transform(frame)
    assert isinstance(named, make) and list(named.columns) == names
    np.testing.assert_array_equal(named.to_numpy(), plain)


def test_names_that_are_not_those_of_fit():
    frame = pd.DataFrame(table(), columns=list("abcdef"))
    scaler = MinMaxScaler().fit(frame)
    assert list(scaler.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(frame[list("fedcba")])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        scaler.get_feature_names_out(["a"] * 6)


def test_names_of_features_without_names():
    assert list(MinMaxScaler().fit(table()).get_feature_names_out()) == [f"x{i}" for i in range(6)]
    with pytest.raises(NotFittedError):
        MinMaxScaler().get_feature_names_out()


@pytest.mark.parametrize("options", [{}, {"data_range": (0, 255)}, {"per": "sample"}, {"clip": True}], ids=str)
def test_pickle_and_clone(options):
    scaler = MinMaxScaler((-1, 1), **options).fit(table(gaps=True))
    loaded = pickle.loads(pickle.dumps(scaler))
    np.testing.assert_array_equal(loaded.transform(table()), scaler.transform(table()))
    assert vars(clone(scaler)) == scaler.get_params()
    assert vars(loaded.partial_fit(table())).keys() == vars(scaler).keys()


def test_fit_starts_anew_and_partial_fit_goes_on():
    X = table()
    scaler = MinMaxScaler().fit(X[:, :2] * 100).fit(X)
    assert_same_statistics(scaler, twin_of(X))
    assert_same_statistics(scaler.partial_fit(X * 3), twin_of(np.vstack([X, X * 3])))
    resumed = MinMaxScaler()
    for name in [*ATTRIBUTES, "n_samples_seen_", "n_features_in_"]:
        setattr(resumed, name, copy.copy(getattr(twin_of(X), name)))
    assert_same_statistics(resumed.partial_fit(X * 3), scaler)


@each_direction
@each_range
def test_statistics_set_by_hand_are_used(ends, method):
    X = table()
    twin, scaler = twin_of(X, feature_range=ends), MinMaxScaler(ends)
    for name in [*ATTRIBUTES, "n_samples_seen_", "n_features_in_"]:
        setattr(scaler, name, getattr(twin, name))
    np.testing.assert_array_equal(getattr(scaler, method)(X), getattr(MinMaxScaler(ends).fit(X), method)(X))


# ---- scikit-learn's checks --------------------------------------------------------------

CONFIGURATIONS = [
    MinMaxScaler((-1, 1)),
    MinMaxScaler((5, 7), clip=True),
    MinMaxScaler(dtype="float32"),
    MinMaxScaler(data_range=(0, 255), clip=True),
    MinMaxScaler(data_range=(0, 255), per="sample"),
    MinMaxScaler(per="image"),
    MinMaxScaler(per="sample", clip=True),
]


@shared_out(parametrize_with_checks(CONFIGURATIONS), every=3)
@pytest.mark.fast_share(3)
def test_estimator(estimator, check):
    check(estimator)


SPARED = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_n_features_in_after_fitting",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_preserve_dtypes",
]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # which checks of set_output go through
@in_turns(
    pytest.mark.parametrize("check", SPARED), pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str), times=3
)
@pytest.mark.fast_share(5)
def test_check_that_others_are_spared(check, estimator):
    getattr(estimator_checks, check)("MinMaxScaler", clone(estimator))


if hasattr(estimator_checks, "check_array_api_input_and_values"):

    @pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
    def test_array_api_of_numpy(estimator):
        estimator_checks.check_array_api_input_and_values("MinMaxScaler", clone(estimator), array_namespace="numpy")


@pytest.mark.parametrize("clip", [False, True])
def test_tags_are_those_of_the_twin(clip):
    mine, twin = MinMaxScaler(clip=clip).__sklearn_tags__(), preprocessing.MinMaxScaler(clip=clip).__sklearn_tags__()
    assert mine.input_tags == twin.input_tags
    assert mine.transformer_tags.preserves_dtype == ["float64", "float32"]  # as the twin does, and does not say
    assert mine.requires_fit and not MinMaxScaler(data_range=(0, 1)).__sklearn_tags__().requires_fit


# ---- where it computes ------------------------------------------------------------------


def assert_on_device(array, expected):
    assert type(array) is cupy_standin.ndarray
    np.testing.assert_array_equal(array.get(), expected, strict=True)


@all_pairs(each_dtype, each_range, each_clip, pytest.mark.parametrize("backend", [None, "cupy", "numpy"]))
def test_cupy_in_cupy_out(backend, clip, ends, dtype, cupy):
    X = table(dtype, gaps=True)
    expected = MinMaxScaler(ends, clip=clip).fit(X)
    scaler = MinMaxScaler(ends, clip=clip, backend=backend)
    for piece in (X[:20], X[20:]):
        scaler.partial_fit(cupy.asarray(piece))
    assert_same_statistics(scaler, expected)
    assert all(not isinstance(value, cupy_standin.ndarray) for value in vars(scaler).values())
    on_device = cupy.asarray(X * 2)
    assert_on_device(scaler.transform(on_device), expected.transform(X * 2))
    assert_on_device(scaler.inverse_transform(on_device), expected.inverse_transform(X * 2))
    np.testing.assert_array_equal(on_device.get(), X * 2)


@each_known
@each_shape
def test_a_known_range_on_the_device(shape, ends, cupy):
    pixels = PIXELS.reshape(shape)
    scaler = MinMaxScaler(ends, data_range=(0, 255), dtype="float32")
    scaled = scaler.transform(cupy.asarray(pixels))
    assert_on_device(scaled, FORMULAS[ends](pixels.astype("f4")))
    assert_on_device(scaler.inverse_transform(scaled), scaler.inverse_transform(scaled.get()))
    with pytest.raises(ValueError, match="contains infinity"):
        scaler.transform(cupy.asarray(np.full(shape, np.inf)))


def test_in_place_on_the_device(cupy):
    X = table()
    on_device = cupy.asarray(X)
    scaler = MinMaxScaler(copy=False).fit(on_device)
    assert scaler.transform(on_device) is on_device
    np.testing.assert_array_equal(on_device.get(), MinMaxScaler().fit_transform(X))
    stored = pickle.dumps(scaler)
    assert b"cupy" not in stored


def test_numpy_in_numpy_out_wherever_it_computes(cupy):
    X = table(np.float32, gaps=True)
    expected = MinMaxScaler().fit(X)
    with config_context(backend="cupy"):
        scaler = MinMaxScaler().fit(X)
        np.testing.assert_array_equal(scaler.transform(X), expected.transform(X), strict=True)
    assert_same_statistics(scaler, expected)


def test_the_device_has_no_frames(cupy):
    scaler = MinMaxScaler().fit(table())
    with (
        sklearn.config_context(transform_output="pandas"),
        pytest.raises(ValueError, match="set_output.*got a CuPy array"),
    ):
        scaler.transform(cupy.asarray(table()))
