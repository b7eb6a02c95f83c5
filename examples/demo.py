"""Demo: a grid search over a pipeline on real data, then the same fit by sknn and by scikit-learn.

Runs on scikit-learn's embedded digits, or on a folder of IDX files (MNIST, Fashion-MNIST).
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import sklearn.neural_network
import sklearn.preprocessing
from rich.console import Console
from rich.table import Table
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils import resample

import sknn.preprocessing
from sknn.datasets import load_idx_folder

SEED = 0
MOST_SEARCH_ROWS = 10_000
GRID = {
    "mlp__hidden_layer_sizes": [(50,), (100,), (200, 50)],
    "mlp__learning_rate_init": [0.001, 0.003, 0.01],
}


@dataclass(frozen=True)
class Data:
    """Rows to train on and rows to test on, in float32."""

    name: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray

    @property
    def is_large(self) -> bool:
        return len(self.X_train) > MOST_SEARCH_ROWS

    @property
    def epochs(self) -> int:
        return 20 if self.is_large else 50

    @property
    def repeats(self) -> int:
        return 1 if self.is_large else 3


@dataclass(frozen=True)
class Result:
    """The figures of one library: seconds of a fit, test accuracy and number of epochs."""

    seconds: float
    accuracy: float
    epochs: int


def digits() -> Data:
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    split = train_test_split(X, y, test_size=0.2, stratify=y, random_state=SEED)
    return Data("scikit-learn's digits", *split)


def idx_folder(folder: Path) -> Data:
    X_train, y_train = load_idx_folder(folder, "train")
    X_test, y_test = load_idx_folder(folder, "test")
    X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
    return Data(str(folder), X_train, X_test, y_train, y_test)


def make_pipelines(epochs: int) -> dict[str, Pipeline]:
    """Return the same pipeline by both libraries."""
    parameters = {"max_iter": epochs, "random_state": SEED}
    return {
        "sknn": Pipeline(
            [
                ("scale", sknn.preprocessing.StandardScaler()),
                ("mlp", sknn.MLPClassifier(**parameters)),
            ]
        ),
        "scikit-learn": Pipeline(
            [
                ("scale", sklearn.preprocessing.StandardScaler()),
                ("mlp", sklearn.neural_network.MLPClassifier(**parameters)),
            ]
        ),
    }


def warm_up(pipelines: dict[str, Pipeline], data: Data) -> dict[str, float]:
    """Fit each pipeline to a few rows; return the seconds of each first fit."""
    X, y = data.X_train[:300], data.y_train[:300]
    seconds = {}
    for name, pipeline in pipelines.items():
        seconds[name] = time_of_fit(clone(pipeline).set_params(mlp__max_iter=2), X, y)
    return seconds


def time_of_fit(pipeline: Pipeline, X: np.ndarray, y: np.ndarray) -> float:
    start = perf_counter()
    pipeline.fit(X, y)
    return perf_counter() - start


def best_parameters(pipeline: Pipeline, data: Data) -> dict[str, object]:
    """Search the grid by cross-validation, on a sample of the rows if there are many."""
    X, y = data.X_train, data.y_train
    if data.is_large:
        how = {"replace": False, "n_samples": MOST_SEARCH_ROWS, "stratify": y}
        X, y = resample(X, y, random_state=SEED, **how)
    search = show_progress(GridSearchCV(pipeline, GRID, cv=3, refit=False))
    return search.fit(X, y).best_params_


def show_progress(search: GridSearchCV) -> GridSearchCV:
    """Give the search a progress bar, or a line of text before scikit-learn 1.9."""
    try:
        from sklearn.callback import ProgressBar
    except ImportError:
        return search.set_params(verbose=1)
    return search.set_callbacks(ProgressBar(max_propagation_depth=0))


def compare(pipelines: dict[str, Pipeline], data: Data) -> dict[str, Result]:
    """Fit the pipelines in turns, and take the median time of each."""
    seconds = {name: [] for name in pipelines}
    for _ in range(data.repeats):
        for name, pipeline in pipelines.items():
            seconds[name].append(time_of_fit(pipeline, data.X_train, data.y_train))
    return {
        name: Result(
            seconds=median(seconds[name]),
            accuracy=pipeline.score(data.X_test, data.y_test),
            epochs=pipeline["mlp"].n_iter_,
        )
        for name, pipeline in pipelines.items()
    }


def make_table(parameters: dict[str, object], results: dict[str, Result], repeats: int) -> Table:
    table = Table(title="The same fit by both libraries", caption="Scaling included, float32")
    table.add_column("")
    for library in results:
        table.add_column(library, justify="right")
    for name, value in parameters.items():
        table.add_row(f"best {name.removeprefix('mlp__')}", *[str(value)] * len(results))
    slowest = max(result.seconds for result in results.values())
    columns = [cells_of(result, slowest) for result in results.values()]
    time = f"fit time, median of {repeats}" if repeats > 1 else "fit time"
    for label, *cells in zip(("epochs", "test accuracy", time, "speed"), *columns, strict=True):
        table.add_row(label, *cells)
    return table


def cells_of(result: Result, slowest: float) -> list[str]:
    return [
        f"{result.epochs}",
        f"{result.accuracy:.2%}",
        f"{result.seconds:.3f} s",
        f"{slowest / result.seconds:.1f} x",
    ]


def run(data: Data) -> None:
    """Run the grid search, fit with both libraries, and print the comparison."""
    n_train, n_features = data.X_train.shape
    n_test = len(data.X_test)
    print(f"{data.name}: {n_train} rows to train, {n_test} to test, {n_features} features")
    pipelines = make_pipelines(data.epochs)
    first = warm_up(pipelines, data)["sknn"]
    print(f"The very first fit, compilation included: {first:.1f} s. No time below contains it.")
    rows = f"a sample of {MOST_SEARCH_ROWS} rows" if data.is_large else "all rows to train"
    print(f"Grid search with sknn, 3-fold cross-validation on {rows}:")
    parameters = best_parameters(pipelines["sknn"], data)
    for pipeline in pipelines.values():
        pipeline.set_params(**parameters)
    results = compare(pipelines, data)
    Console().print(make_table(parameters, results, data.repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = "folder of IDX files, as MNIST has them (default: scikit-learn's digits)"
    parser.add_argument("--data", type=Path, metavar="DIR", help=source)
    folder = parser.parse_args().data
    try:
        data = idx_folder(folder.expanduser()) if folder else digits()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    with warnings.catch_warnings():
        # Both libraries train for a few epochs only, on purpose, and would warn of it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        run(data)


if __name__ == "__main__":
    main()
