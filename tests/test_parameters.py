"""Parameters as search libraries hand them over: NumPy's scalars and arrays, and columns of frames."""

import numpy as np
import pandas as pd
import pytest

from sknn import MLPClassifier
from sknn.preprocessing import MinMaxScaler

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "name, value, plain",
    [
        ("batch_size", np.int8(20), 20),
        ("batch_size", np.array(20), 20),
        ("validation_fraction", np.float32(0.5), 0.5),
        ("tol", np.longdouble(0.25), 0.25),
        ("dropout", np.array([0.25, 0.5]), (0.25, 0.5)),
        ("activation", np.array(["tanh", "relu"]), ("tanh", "relu")),
        ("norm", np.array(["batch", "layer"]), ("batch", "layer")),
        ("hidden_layer_sizes", pd.Series([8, 4]), (8, 4)),
        ("hidden_layer_sizes", range(4, 6), (4, 5)),
        ("early_stopping", np.bool_(True), True),
        ("solver", np.str_("sgd"), "sgd"),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_values_of_other_libraries_make_the_model_of_plain_ones(name, value, plain):
    numbers = {"hidden_layer_sizes": (8, 4), "early_stopping": True, "max_iter": 3, "random_state": 0}
    given, expected = (MLPClassifier(**{**numbers, name: each}).fit(X, y) for each in (value, plain))
    assert getattr(given, name) is value  # as clone wants it
    for mine, theirs in zip(given.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_values_of_other_libraries_make_the_transformer_of_plain_ones():
    given = MinMaxScaler(np.array([-1, 2]), copy=np.bool_(True), dtype=np.array("float32"), per=np.str_("feature"))
    expected = MinMaxScaler((-1, 2), dtype="float32")
    np.testing.assert_array_equal(given.fit_transform(X), expected.fit_transform(X))
    assert given.feature_range.shape == (2,)
