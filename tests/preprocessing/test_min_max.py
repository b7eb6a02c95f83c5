"""MinMaxScaler beside scikit-learn's, and ranges that are known beforehand."""

import inspect
import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import preprocessing
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

import sknn.backend
from sknn.backend import reference
from sknn.preprocessing import MinMaxScaler
from tests import standin

ATTRIBUTES = ["data_min_", "data_max_", "data_range_", "scale_", "min_", "n_samples_seen_", "n_features_in_"]
OPTIONS = [{"feature_range": ends, "clip": clip} for ends in ((0, 1), (-1, 2.5)) for clip in (False, True)]
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_options = pytest.mark.parametrize("options", OPTIONS, ids=str)


def table(dtype=np.float64, gaps=False, n_rows=60):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n_rows, 5)) * [1, 100, 1e-3, 1e4, 0] + [0, 1e3, 1, -1e5, 0.1]).astype(dtype)
    if gaps:
        X[rng.random(X.shape) < 0.3] = np.nan
        X[0] = [0, 1e3, 1, -1e5, 0.1]
    return X


def assert_same_statistics(mine, twin, rtol):
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(mine, name), getattr(twin, name), rtol=rtol, atol=rtol, err_msg=name)


@each_dtype
@each_options
@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
@pytest.mark.parametrize("cuts", [[], [30], [1, 2, 45]], ids=str)
@pytest.mark.parametrize("order", "CF")
def test_twin(order, cuts, gaps, options, dtype):
    X = np.asarray(table(dtype, gaps), order=order)
    X[np.array([0, *cuts], int)] = np.nan_to_num(X[np.array([0, *cuts], int)], nan=0.05)  # no piece without a number
    X[:, 4] = X[0, 4]
    mine, twin = MinMaxScaler(**options), preprocessing.MinMaxScaler(**options)
    for rows in np.split(X, cuts):
        mine.partial_fit(rows), twin.partial_fit(rows)
    rtol = 1e-3 if dtype == np.float32 else 1e-9  # scikit-learn's statistics of float32 are float32
    assert_same_statistics(mine, twin, rtol)
    scaled, new = twin.transform(X), 1.5 * X
    assert mine.transform(X).dtype == dtype
    np.testing.assert_allclose(mine.transform(X), scaled, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(mine.transform(new), twin.transform(new), rtol=rtol, atol=100 * rtol)
    known = mine.inverse_transform(scaled)
    rounding = 4 * np.finfo(dtype).eps * np.nanmax(np.abs(X))
    np.testing.assert_allclose(known, twin.inverse_transform(scaled), rtol=rtol, atol=rounding)


def test_parameters_and_signatures():
    images = {"data_range": None, "per": "feature", "image_shape": None, "channels": "last"}
    twin = preprocessing.MinMaxScaler()
    assert MinMaxScaler().get_params() == {**twin.get_params(), **images, "dtype": None, "backend": None}
    assert MinMaxScaler((1, 2)).feature_range == (1, 2)
    for method in ("fit", "partial_fit", "transform", "inverse_transform"):
        mine, other = (inspect.signature(getattr(cls, method)) for cls in (MinMaxScaler, type(twin)))
        assert [(p.name, p.default) for p in mine.parameters.values()] == [
            (p.name, p.default) for p in other.parameters.values()
        ]


numbers = st.floats(-1e6, 1e6, width=32)


@each_dtype
@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (0.01, 0.99), (5, 7)], ids=str)
@given(X=arrays(np.float64, (5, 3), elements=numbers))
def test_ends_of_the_data_are_ends_of_the_range(ends, dtype, X):
    X = X.astype(dtype)
    scaled = MinMaxScaler(ends).fit_transform(X)
    varies = np.ptp(X, axis=0) > 1e-6
    np.testing.assert_array_equal(scaled.min(axis=0)[varies], np.asarray(ends[0], dtype))
    np.testing.assert_allclose(scaled.max(axis=0)[varies], np.asarray(ends[1], dtype), rtol=np.finfo(dtype).eps)
    if ends in ((0, 1), (-1, 1)):
        np.testing.assert_array_equal(scaled.max(axis=0)[varies], ends[1])
    np.testing.assert_array_equal(scaled[:, np.ptp(X, axis=0) == 0], np.asarray(ends[0], dtype))


def test_small_ranges_of_float32_are_ranges():
    X = np.array([[0], [1e-7], [5e-7]], np.float32)
    np.testing.assert_allclose(MinMaxScaler().fit_transform(X)[:, 0], [0, 0.2, 1], rtol=1e-6)


def test_a_feature_may_be_missing():
    X = table(gaps=True)
    X[:30, 0] = np.nan
    X[:, 2] = np.nan
    pieces = MinMaxScaler().partial_fit(X[:30]).partial_fit(X[30:])
    whole = MinMaxScaler().fit(X)
    assert_same_statistics(pieces, whole, 0)
    assert np.isnan(whole.data_min_[2]) and np.isnan(whole.transform(table())[:, 2]).all()
    np.testing.assert_array_equal(np.isnan(whole.transform(X)), np.isnan(X))


# ---- a range that is known --------------------------------------------------------------

BYTES = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
KNOWN = {
    (0, 1): lambda x: x / 255,
    (-1, 1): lambda x: x / 255 * 2 - 1,
    (0.01, 1.0): lambda x: x / 255 * 0.99 + 0.01,
}


@pytest.mark.parametrize("ends", KNOWN, ids=str)
@pytest.mark.parametrize("shape", [(64, 4), (16, 4, 4), (4, 4, 4, 4)], ids=str)
@pytest.mark.parametrize("is_fitted", [False, True])
@pytest.mark.parametrize("given", ["u1", "i4", "f4", "f8"])
def test_known_ranges_are_exact(given, is_fitted, shape, ends):
    X = BYTES.reshape(shape).astype(given)
    for dtype in ("float64", "float32"):
        if (given, dtype) in (("f8", "float32"), ("f4", "float64"), ("i4", "float32")):
            continue  # computed in float64, and then rounded
        scaler = MinMaxScaler(ends, data_range=(0, 255), dtype=dtype)
        scaler = scaler.fit(X) if is_fitted else scaler
        scaled = scaler.transform(X)
        np.testing.assert_array_equal(scaled, KNOWN[ends](X.astype(dtype)), strict=True)
        assert (scaled.min(), scaled.max()) == tuple(np.array(ends, dtype))
        np.testing.assert_allclose(scaler.inverse_transform(scaled), X, atol=1e-12 if dtype == "float64" else 1e-4)


def test_a_known_range_is_not_learned():
    X = np.array([[-10.0], [300.0]])
    scaler = MinMaxScaler(data_range=(0, 255)).fit(X)
    assert not hasattr(scaler, "data_min_")
    np.testing.assert_array_equal(scaler.transform(X), X / 255)
    np.testing.assert_array_equal(scaler.set_params(clip=True).transform(X), [[0], [1]])
    np.testing.assert_array_equal(MinMaxScaler(data_range=(-5, 5)).transform([[0.0, 5.0]]), [[0.5, 1]])


@pytest.mark.parametrize("value", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (1,), 255, "0-255", (None, 1)], ids=str)
@pytest.mark.parametrize("name", ["data_range", "feature_range"])
def test_bad_ranges(name, value):
    for call in (MinMaxScaler(**{name: value}).fit, MinMaxScaler(**{name: value}).partial_fit):
        with pytest.raises(ValueError, match=f"^{name} must be .*a pair of finite numbers .*low < high"):
            call(table())


# ---- what goes in -----------------------------------------------------------------------


@each_dtype
def test_containers_and_layouts(dtype, tmp_path):
    X = table(dtype, gaps=True)
    np.save(tmp_path / "X.npy", X)
    frozen = X.copy()
    frozen.flags.writeable = False
    expected = MinMaxScaler().fit_transform(X)
    schema = [f"x{i}" for i in range(5)]
    laid_out = [
        np.asfortranarray(X),
        np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
        X[::-1].copy()[::-1],
        frozen,
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        pd.DataFrame(X),
        pl.DataFrame(X, schema=schema),
    ]
    for rows, copy in itertools.product(laid_out, (True, False)):
        np.testing.assert_allclose(MinMaxScaler(copy=copy).fit(rows).transform(rows), expected, rtol=1e-6, atol=1e-7)
        if rows is laid_out[0] or rows is laid_out[1]:
            rows[...] = X
    np.testing.assert_array_equal(frozen, X)


@each_dtype
@pytest.mark.parametrize("order", "CF")
def test_in_place_or_not(order, dtype):
    X = np.asarray(table(dtype), order=order)
    before = X.copy()
    scaler = MinMaxScaler((-1, 1)).fit(X)
    scaled = scaler.transform(X)
    np.testing.assert_array_equal(X, before)
    assert scaler.set_params(copy=False).transform(X) is X
    np.testing.assert_array_equal(X, scaled)
    assert scaler.inverse_transform(X) is X
    np.testing.assert_allclose(X, before, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_frames_have_names():
    frame = pd.DataFrame(table(), columns=list("abcde"))
    scaler = MinMaxScaler().set_output(transform="pandas")
    assert list(scaler.fit_transform(frame).columns) == list("abcde")
    assert list(scaler.get_feature_names_out()) == list("abcde")
    loaded = pickle.loads(pickle.dumps(scaler))
    pd.testing.assert_frame_equal(loaded.transform(frame), scaler.transform(frame))


@each_dtype
@each_options
def test_cupy_in_cupy_out(options, dtype):
    X = table(dtype, gaps=True)
    expected = MinMaxScaler(**options).fit(X)
    with standin.installed() as cupy:
        scaler = MinMaxScaler(**options).partial_fit(cupy.asarray(X[:20])).partial_fit(cupy.asarray(X[20:]))
        assert_same_statistics(scaler, expected, 1e-14)
        scaled = scaler.transform(cupy.asarray(X))
        assert type(scaled) is standin.ndarray and scaled.dtype == dtype
        np.testing.assert_allclose(scaled.get(), expected.transform(X), rtol=1e-6)
        np.testing.assert_allclose(
            scaler.inverse_transform(scaled).get(), expected.inverse_transform(scaled.get()), rtol=1e-6
        )


@each_options
def test_without_numba(options, monkeypatch):
    X = table(gaps=True, n_rows=3000)
    scaled = MinMaxScaler(**options).fit_transform(X)
    plain = reference.Backend(np)
    monkeypatch.setattr(sknn.backend, "_numpy_backend", lambda: plain)
    np.testing.assert_array_equal(MinMaxScaler(**options).fit_transform(X), scaled)


# ---- scikit-learn's checks --------------------------------------------------------------

CONFIGURATIONS = [MinMaxScaler(), MinMaxScaler((-1, 1), clip=True), MinMaxScaler(data_range=(-10, 10))]


@parametrize_with_checks(CONFIGURATIONS)
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
@pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("check", SPARED)
def test_check_that_others_are_spared(check, estimator):
    getattr(estimator_checks, check)("MinMaxScaler", clone(estimator))


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.8"), reason="the check came with 1.8")
@pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
def test_array_api_dispatch_changes_nothing(estimator):
    estimator_checks.check_array_api_input_and_values("MinMaxScaler", clone(estimator), "numpy")
