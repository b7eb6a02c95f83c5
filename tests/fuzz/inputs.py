"""Random data: X of many scales and forms with targets, and data that must be refused."""

from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import scipy.sparse

from tests.fuzz.values import CLASSIFIER, REGRESSOR

SCALES = [1.0, 1.0, 1.0, 1.0, 1e-6, 1e6]
FAR = [0.0, 0.0, 0.0, 100.0, -1e6]
EXTREME = [1e-300, 1e-160, 1e150, 1e200]


@dataclass
class Data:
    """Rows with targets, of which transformers ignore the latter."""

    X: Any
    y: Any = None

    def rows(self, chosen):
        return Data(self.X[chosen], None if self.y is None else self.y[chosen])


def random_data(rng, cls, parameters):
    """Return rows that an estimator with these parameters may be fitted to."""
    n = int(rng.integers(1, 8) if rng.random() < 0.1 else rng.integers(8, 40))
    shape = (n, *_shape_of_row(rng, cls, parameters))
    X = _shaped(rng, rng.standard_normal((n, int(np.prod(shape[1:]))))).reshape(shape)
    return Data(X, _targets(rng, cls, parameters, X.reshape(n, -1)))


def _shape_of_row(rng, cls, parameters):
    if cls in (CLASSIFIER, REGRESSOR) or "per" not in cls._rules:
        return (int(rng.integers(1, 7)),)
    images = parameters.get("per", signature(cls).parameters["per"].default) != "feature"
    if not images:
        return (int(rng.integers(1, 7)),)
    return tuple(parameters.get("image_shape") or rng.integers(1, 4, 3))


def _shaped(rng, X):
    """Return rows of one of many forms and one of three types."""
    form = rng.choice(["plain", "plain", "whole", "zeros", "constant", "copies", "far", "extreme"])
    if form == "whole":
        return rng.integers(-3, 4, X.shape)
    if form == "zeros":
        X = X * (rng.random(X.shape) < 0.3)
    if form == "constant":
        X[:, 0] = rng.choice([0.0, 1.0, 1e7, 0.1])
    if form == "copies":
        X = X[rng.integers(0, len(X), len(X))]
    if form == "far":
        X = X * rng.choice(SCALES) + rng.choice(FAR)
    if form == "extreme":
        return X * rng.choice(EXTREME)
    return X.astype(rng.choice([np.float32, np.float64]))


def _targets(rng, cls, parameters, X):
    if cls not in (CLASSIFIER, REGRESSOR):
        return None
    signal = np.sign(X.sum(axis=1)) + rng.standard_normal(len(X))
    if cls is REGRESSOR:
        if parameters.get("loss") == "poisson" or type(parameters.get("loss")).__name__ == "Poisson":
            return rng.poisson(2.0, len(X))
        return np.stack([signal, -2 * signal + 1], axis=1) if rng.random() < 0.2 else signal
    labels = np.digitize(signal, [-0.5, 1.0][: rng.integers(1, 3)])
    if parameters.get("class_weight") not in (None, "balanced"):
        return labels
    kind = rng.choice(["integers", "strings", "boolean", "multilabel"])
    if kind == "strings":
        return np.array(["ash", "birch", "cedar"])[labels]
    if kind == "boolean":
        return labels > 0
    return np.stack([signal > 0, signal > 1], axis=1).astype(int) if kind == "multilabel" else labels


def broken(rng, data):
    """Return the name of an argument, arguments of fit that must be refused because of it, and what the error says.

    It says the name, or is a sentence of scikit-learn without it.
    """
    X, y, n = data.X, data.y, len(data.X)
    flat = X.reshape(n, -1).astype(float)
    cases = [
        ("X", {"X": flat[:, :0]}, "Found array with 0 feature"),
        ("X", {"X": flat[:0]}, "Found array with 0 sample"),
        ("X", {"X": flat[0]}, "Expected 2D array, got 1D array"),
        ("X", {"X": "nonsense"}),
        ("X", {"X": None}, "Expected 2D array, got scalar array"),
        ("X", {"X": 3.0}, "Expected 2D array, got scalar array"),
        ("X", {"X": flat * 1j}),
        ("X", {"X": np.where(flat == flat, np.inf, flat)}),
        ("X", {"X": [[1.0, 2.0], [3.0]]}, "setting an array element with a sequence"),
        ("X", {"X": np.full(flat.shape, "nonsense")}),
        ("X", {"X": scipy.sparse.csr_matrix(flat[:0])}, "Found array with 0 sample"),
    ]
    if y is not None:
        cases += [
            ("X", {"X": np.full(flat.shape, None)}),
            ("X", {"X": np.where(flat == flat, np.nan, flat)}),
            ("y", {"y": None}),
            ("y", {"y": y[:-1]}, "inconsistent numbers of samples"),
            ("y", {"y": np.full(n, np.nan)}),
            ("y", {"y": np.full(n, None)}),
            ("y", {"y": np.zeros((n, 2, 2))}, "Found array with dim 3"),
            ("y", {"y": 3}, "Input should have at least 1 dimension"),
            ("y", {"y": np.full(n, 1j)}),
            ("y", {"y": []}, "Found array with 0 sample"),
            ("sample_weight", {"sample_weight": np.full(n, -1.0)}),
            ("sample_weight", {"sample_weight": np.full(n, np.nan)}),
            ("sample_weight", {"sample_weight": np.ones(n + 1)}),
            ("sample_weight", {"sample_weight": np.zeros(n)}),
            ("sample_weight", {"sample_weight": np.ones((n, 2))}, "Sample weights must be 1D array or scalar"),
            ("sample_weight", {"sample_weight": "nonsense"}),
            ("X_val", {"X_val": flat}),
            ("X_val", {"X_val": np.full(flat.shape, np.nan), "y_val": y}),
            ("y_val", {"y_val": y}),
        ]
    name, arguments, *sentences = cases[rng.integers(len(cases))]
    if name == "X" and X.ndim > 2:  # flat rows are not what a scaler of images takes
        sentences.append("needs images of shape")
    return name, {"X": X, "y": y, **arguments}, (name, *sentences)
