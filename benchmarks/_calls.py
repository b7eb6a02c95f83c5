"""Time whole calls of one library on one task: ``python -m benchmarks._calls SPEC``.

SPEC is a JSON object: library, task (a name of TASKS), repeats, threads, data (a folder, or ""). One JSON line comes
out: the median of the calls' milliseconds after one that does not count, and what tells that the work was done: an
accuracy, or a mean square; and the epochs of a fit.
"""

import importlib
import json
import statistics
import sys
import timeit
import warnings
from functools import partial

import numpy as np

from benchmarks._steps import MODULES, make_data, torch_network

PREDICTED = (784, 256, 128, 10)
LEAST_SECONDS = 0.05  # of calls, one after the other, that are timed together


def table(name):
    """Return a function that loads one of scikit-learn's data sets, each column scaled to mean 0 and variance 1."""

    def load(folder):
        datasets, scaling = (importlib.import_module(f"sklearn.{module}") for module in ("datasets", "preprocessing"))
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return scaling.scale(X), y

    return load


def synthetic(n_rows, n_features, n_classes):
    """Return a function that makes a float32 table and its labels."""
    return lambda folder: make_data(n_rows, n_features, n_classes, np.float32)


def images(folder):
    """Return the training images of a folder of IDX files, with pixels scaled to [0, 1], and their labels."""
    X, y = importlib.import_module("sknn.datasets").load_idx_folder(folder)
    return X.astype(np.float32) / 255, y


def fit(Classifier, parameters, X, y):
    """Return a new classifier that has been fitted."""
    return Classifier(random_state=0, **parameters).fit(X, y)


def mean_square(predictions):
    """Return the mean square of predictions, which shows whether two libraries predict the same."""
    return float(np.mean(np.square(predictions, dtype=np.float64)))


def fit_on(load, **parameters):
    """Return a task: a fit with the default parameters, except the ones that are given."""

    def task(library, folder):
        X, y = load(folder)
        Classifier = importlib.import_module(MODULES[library]).MLPClassifier

        return partial(fit, Classifier, parameters, X, y), lambda model: model.score(X[:10_000], y[:10_000])

    return task


def predict_with(method, n_rows):
    """Return a task: predictions of rows by a network after a short training."""

    def task(library, folder):
        X, y = make_data(max(n_rows, 1000), PREDICTED[0], PREDICTED[-1], np.float32)
        if library == "torch":
            return torch_prediction(X[:n_rows])
        Classifier = importlib.import_module(MODULES[library]).MLPClassifier
        predict = getattr(Classifier(PREDICTED[1:-1], max_iter=2, random_state=0).fit(X, y), method)
        return partial(predict, X[:n_rows]), mean_square

    return task


def torch_prediction(X):
    """Return a function that predicts the same rows with PyTorch, as a NumPy array of probabilities."""
    import torch

    network, rows = torch_network(PREDICTED, "", torch.float32).eval(), torch.from_numpy(X)

    def call():
        with torch.inference_mode():
            return torch.softmax(network(rows), 1).numpy()

    return call, mean_square


def network_on(Network, method, layers, n_rows):
    """Return a task: a method of a small network on some rows; ``partial_fit`` goes on with the same network."""

    def task(library, folder):
        rng = np.random.default_rng(0)
        X, codes = rng.standard_normal((1000, layers[0])), rng.integers(0, max(2, layers[-1]), 1000)
        y = codes if Network == "MLPClassifier" else X.sum(axis=1)
        network = getattr(importlib.import_module(MODULES[library]), Network)
        network = network(hidden_layer_sizes=layers[1:-1], random_state=0)
        network.partial_fit(X, y, **({"classes": np.arange(max(2, layers[-1]))} if y is codes else {}))
        rows = X[:n_rows], y[:n_rows]
        call = partial(getattr(network, method), *(rows if method == "partial_fit" else rows[:1]))
        return call, lambda made: mean_square(made.coefs_[0] if made is network else made)

    return task


def transformer_on(name, method, n_rows):
    """Return a task: a method of a fitted transformer on some rows of 20 features."""

    def task(library, folder):
        own = "sklearn.decomposition" if name == "PCA" else "sklearn.preprocessing"
        module = importlib.import_module("sknn.preprocessing" if library == "sknn" else own)
        X = np.random.default_rng(0).standard_normal((1000, 20))
        transformer = getattr(module, name)().fit(X)
        rows = transformer.transform(X[:n_rows]) if method == "inverse_transform" else X[:n_rows]
        return partial(getattr(transformer, method), rows), mean_square

    return task


SMALL_TRANSFORMS = [
    (name, method, n_rows)
    for name in ("StandardScaler", "MinMaxScaler", "PCA")
    for method, n_rows in [("transform", 1), ("transform", 100), ("inverse_transform", 1), ("fit_transform", 30)]
]
TASKS = {
    "fit iris": fit_on(table("iris")),
    "fit digits": fit_on(table("digits")),
    "fit breast cancer": fit_on(table("breast_cancer")),
    "fit digits, early stopping": fit_on(table("digits"), early_stopping=True),
    "fit 10,000 x 20, 20 epochs": fit_on(synthetic(10_000, 20, 10), max_iter=20),
    "fit 1,000,000 x 50, an epoch": fit_on(synthetic(1_000_000, 50, 2), max_iter=1, batch_size=256),
    "fit Fashion-MNIST, 2 epochs": fit_on(images, max_iter=2, hidden_layer_sizes=(256, 128)),
    "predict 1 row": predict_with("predict", 1),
    "predict_proba 1 row": predict_with("predict_proba", 1),
    "predict_proba 10,000 rows": predict_with("predict_proba", 10_000),
    "small predict 1 row, 20-100-1": network_on("MLPRegressor", "predict", (20, 100, 1), 1),
    "small predict 1 row, 64-64-10": network_on("MLPClassifier", "predict", (64, 64, 10), 1),
    "small predict_proba 1 row, 20-32-16-1": network_on("MLPClassifier", "predict_proba", (20, 32, 16, 1), 1),
    "small partial_fit 32 rows, 20-32-1": network_on("MLPRegressor", "partial_fit", (20, 32, 1), 32),
    "small partial_fit 32 rows, 64-64-10": network_on("MLPClassifier", "partial_fit", (64, 64, 10), 32),
    **{
        f"small {name}.{method} {n_rows} row(s)": transformer_on(name, method, n_rows)
        for name, method, n_rows in SMALL_TRANSFORMS
    },
}


def main(spec):
    """Measure the task of ``spec``, and return its figures."""
    if spec["library"] == "torch":
        importlib.import_module("torch").set_num_threads(spec["threads"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        call, judge = TASKS[spec["task"]](spec["library"], spec["data"])
        made = call()  # not counted
        timer = timeit.Timer(call)
        number = max(1, round(LEAST_SECONDS / timer.timeit(1)))
        milliseconds = 1e3 * statistics.median(timer.repeat(spec["repeats"], number)) / number
    return {"ms": milliseconds, "result": judge(made), "epochs": getattr(made, "n_iter_", 0)}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
