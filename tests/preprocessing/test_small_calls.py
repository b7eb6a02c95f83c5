"""Calls with few rows: plain arrays are not validated twice, and no check is lost."""

import numpy as np
import pandas as pd
import pytest

from sknn._common import validation
from sknn.preprocessing import PCA, ZCA, MinMaxScaler, StandardScaler, ZeroCenterer
from tests.support.transformers import TRANSFORMERS

X = np.random.default_rng(0).standard_normal((20, 4))
IMAGES = X.reshape(20, 2, 2, 1)
INVERTIBLE = [t for t in TRANSFORMERS if hasattr(t, "inverse_transform")]
each_transformer = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
each_invertible = pytest.mark.parametrize("transformer", INVERTIBLE, ids=lambda t: type(t).__name__)


@pytest.fixture
def validated(monkeypatch):
    """A list with an entry for each validation by scikit-learn."""
    calls = []
    for name in ("validate_data", "check_array"):
        plain = getattr(validation, name)
        monkeypatch.setattr(
            validation, name, lambda *args, plain=plain, **options: calls.append(1) or plain(*args, **options)
        )
    return calls


@each_transformer
def test_plain_arrays_are_not_validated_by_scikit_learn(transformer, validated):
    transformed = transformer.fit_transform(X)
    transformer.transform(X[:1])
    transformer.partial_fit(X)
    if hasattr(transformer, "inverse_transform"):
        transformer.inverse_transform(transformed)
    StandardScaler(per="channel").fit_transform(IMAGES)
    assert transformer.n_features_in_ == 4
    assert validated == []


class Rows(np.ndarray):
    """A subclass of arrays."""


@each_transformer
def test_all_else_is_validated(transformer, validated):
    transformer.fit(X)
    for rows in (X.tolist(), X.view(Rows), X.astype(">f8"), X.astype(object)):
        before = len(validated)
        np.testing.assert_allclose(transformer.transform(rows), transformer.transform(X), atol=1e-12)
        assert len(validated) > before
    with pytest.raises(TypeError, match="np.matrix is not supported"):
        transformer.transform(X.view(np.matrix))


@each_transformer
def test_rows_of_another_width_are_refused(transformer):
    transformer.fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 4 features"):
        transformer.transform(X[:, :3])
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 4 features"):
        transformer.partial_fit(X[:, :3])
    transformer.fit(X[:, :3])
    assert transformer.n_features_in_ == 3


@each_invertible
def test_transformed_rows_of_another_width_are_refused(transformer):
    width = transformer.fit_transform(X).shape[1]
    with pytest.raises(ValueError, match=f"X has 5 .*is expecting {width} "):
        transformer.inverse_transform(np.ones((1, 5)))


@each_transformer
def test_no_rows_are_refused(transformer):
    transformer.fit(X)
    for rows in (X[:0], X[:, :0], X[0], X[0, 0]):
        with pytest.raises(ValueError, match="0 sample|0 feature|Expected 2D|no features"):
            transformer.transform(rows)


@each_transformer
def test_names_are_compared_and_forgotten(transformer):
    frame = pd.DataFrame(X, columns=list("abcd"))
    transformer.fit(frame)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        transformer.transform(X)
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame[["b", "a", "c", "d"]])
    transformer.fit(X)
    assert not hasattr(transformer, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but"):
        transformer.transform(frame)


@each_transformer
def test_infinity_and_nan_keep_their_rules(transformer):
    transformer.fit(X)
    rows = X.copy()
    rows[3, 1] = np.inf
    for method in (transformer.transform, transformer.fit, transformer.partial_fit):
        with pytest.raises(ValueError, match="infinity"):
            method(rows)
    rows[3, 1] = np.nan
    if isinstance(transformer, PCA | ZCA):
        with pytest.raises(ValueError, match="NaN"):
            transformer.transform(rows)
    else:
        assert np.isnan(transformer.transform(rows)[3, 1])


@pytest.mark.parametrize("scaler", [StandardScaler(copy=False), MinMaxScaler(copy=False), ZeroCenterer(copy=False)])
def test_read_only_rows_are_not_written_in_place(scaler):
    rows = X.copy()
    rows.flags.writeable = False
    scaler.fit(X)
    np.testing.assert_array_equal(scaler.transform(rows), scaler.transform(X.copy()))
    np.testing.assert_array_equal(rows, X)
    writeable = X.copy()
    assert scaler.transform(writeable) is writeable


@each_transformer
def test_a_refused_fit_keeps_the_width(transformer):
    transformer.fit(X)
    with pytest.raises(ValueError, match="infinity"):
        transformer.fit(np.full((5, 3), np.inf))
    assert transformer.n_features_in_ == 4
    transformer.transform(X)
