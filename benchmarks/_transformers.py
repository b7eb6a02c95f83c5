"""Time one transformer of one library, for ``benchmarks.transformers``, in a process of its own."""

import importlib
import json
import statistics
import sys
import time

import numpy as np

from benchmarks._memory import peak, reset_peak

MODULES = {
    "sknn": {name: "sknn.preprocessing" for name in ("StandardScaler", "MinMaxScaler", "PCA", "ZeroCenterer")},
    "sklearn": {
        "StandardScaler": "sklearn.preprocessing",
        "MinMaxScaler": "sklearn.preprocessing",
        "PCA": "sklearn.decomposition",
    },
}
PARAMETERS = {
    "PCA": {"n_components": 50, "whiten": True, "svd_solver": "covariance_eigh"},
    "ZeroCenterer": {"per": "channel", "dtype": "float32"},
}


class NumpyCenterer:
    """Centring in plain NumPy: the mean of each channel, and a subtraction."""

    def fit(self, X):
        """Compute the mean of each channel."""
        self.mean = X.mean(axis=(0, 1, 2)).astype("float32")
        return self

    def transform(self, X):
        """Return X minus the means."""
        return X - self.mean


class Yardstick:
    """The least work of a fit and a transform: X is read once, and an array of its size is written."""

    def fit(self, X):
        """Read X once."""
        X.sum(axis=0)
        return self

    def transform(self, X):
        """Read X once, and write an array of its size."""
        return X.copy()


class Products:
    """The least work of PCA: its matrix products."""

    wide = None

    def fit(self, X):
        """Compute the products of a fit, in float64."""
        if self.wide is None or len(self.wide) != len(X):
            self.wide = X.astype(np.float64)
        np.matmul(self.wide.T, self.wide)
        return self

    def transform(self, X):
        """Compute the product of a transform, in the type of X."""
        return X @ np.ones((X.shape[1], 50), X.dtype)


def make_transformer(library, name):
    """Return an unfitted transformer."""
    if library == "numpy":
        return {"ZeroCenterer": NumpyCenterer, "least of PCA": Products}.get(name, Yardstick)()
    module = importlib.import_module(MODULES[library][name])
    return getattr(module, name)(**PARAMETERS.get(name, {}))


def make_data(shape, dtype):
    """Return a table of features of unlike means and spreads, or images of bytes."""
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(256, size=shape, dtype=dtype)
    mixing = rng.standard_normal((shape[1], shape[1]))
    X = np.empty(shape, dtype)
    for rows in np.array_split(X, 20):
        rows[...] = 3 + rng.standard_normal(rows.shape) @ mixing
    return X


def seconds(action, repeats):
    """Return the median seconds of an action, after two calls as a warm-up.

    In a virtual machine memory that was not used before comes slowly: whoever asks for it first would be charged.
    """
    action()
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(spec):
    """Return milliseconds of fit and transform, rise of the peak in fit in percent of X, a sum of the output."""
    X = make_data(spec["shape"], spec["dtype"])
    transformer = make_transformer(spec["library"], spec["name"])
    few = X[: max(1, len(X) // 100)]
    transformer.fit(few).transform(few)  # imports and compiles
    transformer.fit(X)
    reset_peak()
    before = peak()
    transformer.fit(X)
    rise = (peak() - before) * 1e6 / X.nbytes
    return {
        "fit": 1e3 * seconds(lambda: transformer.fit(X), spec["repeats"]),
        "transform": 1e3 * seconds(lambda: transformer.transform(X), spec["repeats"]),
        "rise": 100 * rise,
        "size": float(np.square(transformer.transform(X[:1000]), dtype=np.float64).mean()),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
