"""Float32 columns of frames stay float32, whatever library made them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.preprocessing

from sknn import MLPClassifier, MLPRegressor
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
SMALL = np.arange(30, dtype=np.int8)
TRANSFORMERS = [StandardScaler(), MinMaxScaler(), ZeroCenterer(), InstanceNormalizer(), PCA(1), ZCA()]


FRAMES = {
    "polars": (pl.DataFrame({"a": X[:, 0], "b": X[:, 1]}), np.float32),
    "polars, small integers": (pl.DataFrame({"a": SMALL, "b": X[:, 1]}), np.float32),
    "polars, float64": (pl.DataFrame({"a": X[:, 0].astype(float), "b": X[:, 1]}), np.float64),
    "polars, integers": (pl.DataFrame({"a": SMALL, "b": SMALL[::-1].copy()}), np.float64),
    "pandas": (pd.DataFrame(X, columns=["a", "b"]), np.float32),
    "pandas, nullable": (pd.DataFrame(X, columns=["a", "b"]).astype("Float32"), np.float32),
    "pandas, half nullable": (pd.DataFrame({"a": pd.array(X[:, 0], "Float32"), "b": X[:, 1]}), np.float32),
    "pandas, small integers": (pd.DataFrame({"a": pd.array(SMALL, "Int8"), "b": X[:, 1]}), np.float32),
    "pandas, nullable float64": (pd.DataFrame(X, columns=["a", "b"]).astype("Float64"), np.float64),
    "pandas, long integers": (pd.DataFrame({"a": pd.array(SMALL, "Int64"), "b": X[:, 1]}), np.float64),
}
each_frame = pytest.mark.parametrize("frame, dtype", FRAMES.values(), ids=FRAMES)


@each_frame
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
@pytest.mark.fast_share(7)
def test_transformers_keep_the_type(transformer, frame, dtype):
    plain = np.column_stack([np.asarray(frame[name], dtype) for name in "ab"])
    found = transformer.fit(frame).transform(frame)
    assert found.dtype == dtype
    names = sklearn.preprocessing.StandardScaler().fit(frame)  # before 1.7 it takes none from polars
    assert list(vars(transformer).get("feature_names_in_", ())) == list(vars(names).get("feature_names_in_", ()))
    np.testing.assert_array_equal(found, transformer.fit(plain).transform(plain))


@each_frame
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_networks_train_in_the_type(kind, frame, dtype):
    model = kind(hidden_layer_sizes=(3,), max_iter=3, random_state=0)
    y = X[:, 0] if kind is MLPRegressor else X[:, 0] > 0
    model.fit(frame, y)
    assert model.coefs_[0].dtype == dtype
    plain = np.column_stack([np.asarray(frame[name], dtype) for name in "ab"])
    expected = model.predict(frame)
    np.testing.assert_array_equal(expected, model.fit(plain, y).predict(plain))


def test_missing_values_are_nan():
    columns = [1.0, None, 3.0], [0.5, 1.5, 2.5]
    polars = pl.DataFrame({"a": columns[0], "b": columns[1]}, schema={"a": pl.Float32, "b": pl.Float32})
    pandas = pd.DataFrame({"a": pd.array(columns[0], "Float32"), "b": pd.array(columns[1], "Float32")})
    integers = pd.DataFrame({"a": pd.array([1, None, 3], "Int8"), "b": pd.array(columns[1], "Float32")})
    for frame in (polars, pandas, integers):
        scaled = StandardScaler().fit_transform(frame)
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled[:, 0], [-1, np.nan, 1])


def test_arrow_tables():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": X[:, 0], "b": X[:, 1]})
    pandas = pd.DataFrame({"a": pd.array(X[:, 0], "float32[pyarrow]"), "b": pd.array(X[:, 1], "float32[pyarrow]")})
    for frame in (table, pandas):
        scaler = StandardScaler().fit(frame)
        assert scaler.transform(frame).dtype == np.float32
        assert scaler.feature_names_in_.tolist() == ["a", "b"]


def test_frames_of_polars_come_back_as_they_were():
    frame = FRAMES["polars"][0]
    scaled = StandardScaler().set_output(transform="polars").fit_transform(frame)
    assert scaled.dtypes == [pl.Float32, pl.Float32]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
def test_foreign_byte_order_changes_no_bit(transformer):
    expected = transformer.fit(X).transform(X)
    found = transformer.fit(X.astype(">f4")).transform(X.astype(">f4"))
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.dtype.isnative
