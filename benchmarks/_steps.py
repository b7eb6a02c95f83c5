"""Time the training steps of one library on one network: ``python -m benchmarks._steps SPEC``.

SPEC is a JSON object: library, layers, block (what hidden layers have besides ReLU), batch, batches (in an epoch),
epochs (short and long fit), dtype, threads. One JSON line comes out: microseconds a step, the last epoch's loss and,
for sknn, the microseconds of the step's matrix products alone.
"""

import importlib
import json
import statistics
import sys
import time
import timeit
import warnings
from itertools import pairwise

import numpy as np

ALPHA = 1e-4
LEARNING_RATE = 1e-3
SEPARATION = 3.0
MODULES = {"sknn": "sknn", "sklearn": "sklearn.neural_network"}


# What a hidden layer is made of, for sknn and for PyTorch, whose modules follow each linear map.
BLOCKS = {
    "": ({}, lambda nn, units: [nn.ReLU()]),
    "batch norm": ({"norm": "batch"}, lambda nn, units: [nn.BatchNorm1d(units), nn.ReLU()]),
    "layer norm": ({"norm": "layer"}, lambda nn, units: [nn.LayerNorm(units), nn.ReLU()]),
    "dropout 0.5": ({"dropout": 0.5}, lambda nn, units: [nn.ReLU(), nn.Dropout(0.5)]),
    "SELU": ({"activation": "selu"}, lambda nn, units: [nn.SELU()]),
    "GELU": ({"activation": "gelu"}, lambda nn, units: [nn.GELU()]),
}


def make_data(rows, features, classes, dtype):
    """Return overlapping classes, means plus noise, the same for every library."""
    rng = np.random.default_rng(0)
    scale = SEPARATION / np.sqrt(2 * features)
    means = (scale * rng.standard_normal((classes, features))).astype(dtype)
    y = rng.integers(classes, size=rows)
    X = rng.standard_normal((rows, features), dtype=dtype)
    X += means[y]
    return X, y


def time_fit(model, X, y):
    """Fit without early stopping, and return the seconds it took."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        start = time.perf_counter()
        model.fit(X, y)
        return time.perf_counter() - start


def time_estimator(spec, X, y):
    """Return the seconds of a long fit minus those of a short one, and the last loss of the long fit."""
    MLPClassifier = importlib.import_module(MODULES[spec["library"]]).MLPClassifier
    short, long = (
        MLPClassifier(
            spec["layers"][1:-1],
            batch_size=spec["batch"],
            alpha=ALPHA,
            learning_rate_init=LEARNING_RATE,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
            **BLOCKS[spec["block"]][0],
        )
        for epochs in spec["epochs"]
    )
    time_fit(short, X, y)  # warm-up: compilation, thread pools, caches
    seconds = -time_fit(short, X, y)
    seconds += time_fit(long, X, y)
    return seconds, long.loss_curve_[-1]


def torch_network(layers, block, dtype):
    """Return a PyTorch network of linear layers, norms and activations, initialised as in scikit-learn."""
    from torch import nn

    modules, behind = [], []
    for fan_in, fan_out in pairwise(layers):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.xavier_uniform_(linear.weight)
        modules += [*behind, linear]
        behind = BLOCKS[block][1](nn, fan_out)
    return nn.Sequential(*modules).to(dtype)


def torch_step(network, optimizer, X, y, compiled):
    """Return a function that trains on the rows of these numbers, and returns their loss."""
    import torch

    def loss_of(x, targets):
        return torch.nn.functional.cross_entropy(network(x), targets)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step(rows):
        optimizer.zero_grad()
        loss = loss_of(X.index_select(0, rows), y.index_select(0, rows))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def torch_epoch(step, n_rows, batch):
    """Train one epoch in shuffled batches, and return the mean loss."""
    import torch

    total = torch.zeros(())
    order = torch.randperm(n_rows).split(batch)
    for rows in order:
        total += step(rows)
    return total.item() / len(order)


def time_torch(spec, X, y):
    """Return the seconds of all epochs except the first (the warm-up), and the loss of the last epoch."""
    import torch

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    network = torch_network(spec["layers"], spec["block"], X.dtype)
    decay = ALPHA / spec["batch"]
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=decay, fused=True)
    step = torch_step(network, optimizer, X, y, compiled=spec["library"] == "compiled")
    warm_up, epochs = spec["epochs"]
    for epoch in range(epochs):
        if epoch == warm_up:
            start = time.perf_counter()
        loss = torch_epoch(step, len(X), spec["batch"])
    return time.perf_counter() - start, loss


def time_skorch(spec, X, y):
    """Return the same as ``time_estimator``, for skorch with its default parameters.

    But for no validation split, as the others have none.
    """
    import skorch
    import torch

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    short, long = (
        skorch.NeuralNetClassifier(
            torch_network(spec["layers"], spec["block"], torch.from_numpy(X).dtype),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__weight_decay=ALPHA / spec["batch"],
            lr=LEARNING_RATE,
            batch_size=spec["batch"],
            max_epochs=epochs,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        for epochs in spec["epochs"]
    )
    time_fit(short, X[: 4 * spec["batch"]], y[: 4 * spec["batch"]])
    seconds = -time_fit(short, X, y)
    seconds += time_fit(long, X, y)
    return seconds, long.history[-1]["train_loss"]


TIMERS = {"sknn": time_estimator, "sklearn": time_estimator, "skorch": time_skorch}


def time_products(layers, batch, dtype):
    """Return the microseconds of the matrix products of a step, computed into existing buffers."""
    rng = np.random.default_rng(0)
    units = [rng.standard_normal((batch, width), dtype=dtype) for width in layers]
    weights = [rng.standard_normal(s, dtype=dtype) for s in pairwise(layers)]
    out = [np.empty_like(values) for values in units]
    gradients = [np.empty_like(values) for values in weights]

    def products():
        for k, weight in enumerate(weights):
            np.matmul(units[k], weight, out=out[k + 1])
        for k in reversed(range(len(weights))):
            np.matmul(units[k].T, units[k + 1], out=gradients[k])
            if k > 0:
                np.matmul(units[k + 1], weights[k].T, out=out[k])

    timer = timeit.Timer(products)
    number, _ = timer.autorange()
    return 1e6 * statistics.median(timer.repeat(3, number)) / number


def main(spec):
    """Measure the steps of ``spec``, and return their figures."""
    layers, batch, dtype = spec["layers"], spec["batch"], np.dtype(spec["dtype"])
    X, y = make_data(batch * spec["batches"], layers[0], layers[-1], dtype)
    seconds, loss = TIMERS.get(spec["library"], time_torch)(spec, X, y)
    steps = spec["batches"] * (spec["epochs"][1] - spec["epochs"][0])
    result = {"step": 1e6 * seconds / steps, "loss": float(loss)}
    if spec["library"] == "sknn":
        result["products"] = time_products(layers, batch, dtype)
    return result


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
