"""float16 rows: scalers compute them in float32, and return float16."""

import numpy as np
import pytest
from sklearn import preprocessing

from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer

SCALERS = [
    StandardScaler(),
    MinMaxScaler((-1, 2), clip=True),
    ZeroCenterer(),
    InstanceNormalizer(),
    StandardScaler(per="sample"),
    MinMaxScaler(per="sample"),
]
each_scaler = pytest.mark.parametrize("scaler", SCALERS, ids=str)


def half_rows():
    return np.random.default_rng(0).normal([0, 300, -2000, 1e-3], [1, 20, 1, 1e-4], (50, 4)).astype(np.float16)


@each_scaler
def test_results_are_those_of_float32_rounded(scaler):
    X = half_rows()
    expected = scaler.fit(X.astype(np.float32)).transform(X.astype(np.float32))
    found = scaler.fit(X).transform(X)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected.astype(np.float16))
    if hasattr(scaler, "inverse_transform"):
        restored = scaler.inverse_transform(found)
        assert restored.dtype == np.float16
        np.testing.assert_allclose(restored.astype(float), X.astype(float), atol=2.0)


@pytest.mark.parametrize("twin", [preprocessing.StandardScaler(), preprocessing.MinMaxScaler()])
def test_the_twin_keeps_float16_too(twin):
    X = half_rows()
    mine = {"StandardScaler": StandardScaler, "MinMaxScaler": MinMaxScaler}[type(twin).__name__]()
    expected = twin.fit(X.astype(float)).transform(X.astype(float))
    found = mine.fit(X[:20]).partial_fit(X[20:]).transform(X)
    assert twin.fit(X).transform(X).dtype == found.dtype == np.float16
    np.testing.assert_allclose(found.astype(float), expected, rtol=1e-3, atol=1e-3)
    assert mine.scale_.dtype == np.float64


@each_scaler
def test_in_place(scaler):
    X = half_rows()
    expected = scaler.fit(X).transform(X)
    scaler = type(scaler)(**{**scaler.get_params(), "copy": False}).fit(X)
    assert scaler.transform(X) is X
    np.testing.assert_array_equal(X, expected)
    X[3, 2] = np.inf
    before = X.copy()
    with pytest.raises(ValueError, match="infinity"):
        scaler.transform(X)
    np.testing.assert_array_equal(X, before)


def test_images_and_other_types():
    X = half_rows().reshape(50, 2, 2, 1)
    scaled = StandardScaler(per="channel").fit_transform(X)
    assert scaled.dtype == np.float16
    np.testing.assert_allclose(scaled.astype(float).mean(), 0, atol=1e-3)
    assert StandardScaler(dtype="float32").fit_transform(half_rows()).dtype == np.float32
    assert StandardScaler(dtype="float64").fit_transform(half_rows()).dtype == np.float64
    for transformer in (PCA(2), ZCA()):  # as scikit-learn's PCA
        assert transformer.fit_transform(half_rows()).dtype == np.float64


def test_on_the_device(cupy):
    X = half_rows()
    found = StandardScaler().fit_transform(cupy.asarray(X))
    assert type(found) is cupy.ndarray
    np.testing.assert_array_equal(found.get(), StandardScaler().fit_transform(X))
