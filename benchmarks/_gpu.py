"""Time one library on one piece of work on a GPU: ``python -m benchmarks._gpu SPEC``.

SPEC is a JSON object: library (a name of TIMERS), work (a name of WORKS), device ("cuda", or "cpu" for a try without a
GPU), scale (of the rows and steps) and threads. One JSON line comes out: microseconds a training step and model, or
milliseconds of a call, and what tells that the work was done, a loss or a mean square.

Steps are timed by events of the device, epoch by epoch, calls by the clock, with the device idle before and after.
"""

import importlib
import json
import statistics
import sys
import time
import warnings
from typing import NamedTuple

import numpy as np

from benchmarks._steps import ALPHA, LEARNING_RATE, make_data, torch_network

CALLS = 5  # of which the median is taken, after two that do not count


class Steps(NamedTuple):
    """A piece of work: training steps of a network, or of several models at once."""

    layers: tuple
    batch: int
    precision: str
    n_models: int = 1
    batches: int = 100
    epochs: int = 12


class Call(NamedTuple):
    """A piece of work: a call of an estimator on a float32 table."""

    name: str
    shape: tuple


SMALL, LARGE = (784, 256, 128, 10), (4096, 4096, 4096, 4096, 10)
WORKS = {
    "784-256-128-10, float32": Steps(SMALL, 256, "float32"),
    "the same, 64 models": Steps(SMALL, 256, "float32", n_models=64, batches=50, epochs=8),
    "4096-4096x3-10, tf32": Steps(LARGE, 4096, "tf32", batches=15, epochs=8),
    "4096-4096x3-10, bfloat16": Steps(LARGE, 4096, "bfloat16", batches=15, epochs=8),
    "StandardScaler.fit, 10,000,000 x 100": Call("StandardScaler", (10_000_000, 100)),
    "PCA(50, whiten).fit, 1,000,000 x 200": Call("PCA", (1_000_000, 200)),
    "fit 60,000 x 784, 20 epochs": Call("MLPClassifier", (60_000, 784)),
}


# ---- clocks -----------------------------------------------------------------------------


def array_module(device):
    """Return CuPy, or NumPy where there is no GPU."""
    return importlib.import_module("cupy" if device == "cuda" else "numpy")


def event_times(device, epoch, n_epochs):
    """Return the seconds of each epoch after the first two, which do not count."""
    times = []
    for number in range(n_epochs):
        seconds = event_time(device, epoch)
        if number >= 2:
            times.append(seconds)
    return times


def event_time(device, work):
    """Return the seconds that the device needs for all the work of a call."""
    if device != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    cuda = array_module(device).cuda
    first, last = cuda.Event(), cuda.Event()
    cuda.Device().synchronize()
    first.record(cuda.Stream.null)
    work()
    cuda.Device().synchronize()
    last.record(cuda.Stream.null)
    last.synchronize()
    return cuda.get_elapsed_time(first, last) / 1e3


def call_time(device, call):
    """Return the median milliseconds of a call."""

    def whole():
        call()
        if device == "cuda":
            array_module(device).cuda.Device().synchronize()

    times = []
    for number in range(CALLS + 2):
        start = time.perf_counter()
        whole()
        if number >= 2:
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


# ---- training steps ---------------------------------------------------------------------


def scaled(steps, scale):
    """Return the same work with fewer steps, for a trial without a GPU."""
    if scale == 1:
        return steps
    layers = tuple(max(10, int(width * scale)) for width in steps.layers[:-1])
    return steps._replace(layers=(*layers, steps.layers[-1]), batches=4, n_models=min(steps.n_models, 3))


def step_data(steps):
    """Return rows for all batches of an epoch, and their classes."""
    return make_data(steps.batch * steps.batches, steps.layers[0], steps.layers[-1], np.float32)


def result_of(steps, times, loss):
    """Return the figures of one library: the time of a step, and the loss that it came to."""
    return {"time": 1e6 * statistics.median(times) / steps.batches / steps.n_models, "result": float(loss)}


def sknn_steps(steps, device):
    """Train with sknn's own loop."""
    from sknn._backend import get_backend
    from sknn._common.rows import rows_of
    from sknn._core.data import Data, Problem
    from sknn._core.network import Network
    from sknn._core.options import Options
    from sknn._core.state import State
    from sknn._core.trainer import Trainer
    from sknn.activations import ReLU
    from sknn.initializers import Auto
    from sknn.losses import SoftmaxLogLoss
    from sknn.optimizers import Adam

    X, y = step_data(steps)
    n_hidden, n_models = len(steps.layers) - 2, steps.n_models
    network = Network(steps.layers, (ReLU(),) * n_hidden, (Auto(),) * (n_hidden + 1), SoftmaxLogLoss())
    numbers = (np.full(n_models, value) for value in (LEARNING_RATE, ALPHA))
    options = Options((Adam(),) * n_models, *numbers, steps.batch)
    seeds = map(np.random.RandomState, range(n_models))
    theta = np.concatenate([network.initial_parameters(seed, np.float32) for seed in seeds])
    state = State.start(theta, [np.random.RandomState(0)], options)
    state.number_rows(len(X))
    backend = get_backend("cupy" if device == "cuda" else "numpy", precision=steps.precision)
    problem = Problem(backend, network, options, Data(rows_of(backend, X), y[:, None]))
    trainer = Trainer(problem, state)
    times = event_times(device, trainer.train_epoch, steps.epochs)
    return result_of(steps, times, trainer.state.loss_curve[-1].mean())


class TorchStep:
    """A training step of PyTorch on the rows that ``rows`` numbers, with its loss in ``loss``."""

    def __init__(self, steps, device, compiled=False):
        import torch

        self.torch, self.steps = torch, steps
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high" if steps.precision == "tf32" else "highest")
        X, y = step_data(steps)
        self.X, self.y = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
        self.rows = torch.arange(steps.batch, device=device)
        self.total = torch.zeros(steps.n_models, device=device)
        self.device = device
        self._make(compiled)

    def _make(self, compiled):
        torch, steps = self.torch, self.steps
        self.network = torch_network(steps.layers, "", torch.float32).to(self.device)
        self.loss_of = torch.compile(self._loss, mode="max-autotune-no-cudagraphs") if compiled else self._loss
        self.optimizer = self._adam(self.network.parameters())

    def _adam(self, parameters):
        # steps are counted on the device, so that a graph can hold them
        options = {"lr": LEARNING_RATE, "weight_decay": ALPHA / self.steps.batch, "fused": True}
        return self.torch.optim.Adam(parameters, **options, capturable=self.device == "cuda")

    def _loss(self, x, targets):
        is_coarse = self.steps.precision == "bfloat16"
        with self.torch.autocast(self.device, self.torch.bfloat16, enabled=is_coarse):
            return self.torch.nn.functional.cross_entropy(self.network(x), targets)

    def __call__(self):
        """Train on one batch."""
        self.optimizer.zero_grad(set_to_none=False)
        loss = self.loss_of(self.X.index_select(0, self.rows), self.y.index_select(0, self.rows))
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()


class TorchStack(TorchStep):
    """The step of several models at once: ``torch.func.vmap`` over stacked parameters."""

    def _make(self, compiled):
        torch, steps = self.torch, self.steps
        networks = [torch_network(steps.layers, "", torch.float32).to(self.device) for _ in range(steps.n_models)]
        parameters, _ = torch.func.stack_module_state(networks)
        self.network = networks[0]
        self.parameters = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        self.loss_of = self._stacked_loss
        self.optimizer = self._adam(self.parameters.values())

    def _stacked_loss(self, x, targets):
        def loss(parameters):
            outputs = self.torch.func.functional_call(self.network, parameters, (x,))
            return self.torch.nn.functional.cross_entropy(outputs, targets)

        self.losses = self.torch.vmap(loss)(self.parameters)
        return self.losses.sum()

    def __call__(self):
        """Train on one batch."""
        self.optimizer.zero_grad(set_to_none=False)
        self.loss_of(self.X.index_select(0, self.rows), self.y.index_select(0, self.rows)).backward()
        self.optimizer.step()
        self.total += self.losses.detach()


def captured(step):
    """Return a function that replays a step as one graph, after the three warm-up calls that PyTorch asks for."""
    torch = step.torch
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def torch_steps(steps, device, as_graph=False, compiled=False):
    """Train with PyTorch: eagerly, or with a CUDA graph of whole steps, compiled or not."""
    step = (TorchStack if steps.n_models > 1 else TorchStep)(steps, device, compiled)
    run, torch = (captured(step) if as_graph else step), step.torch

    def epoch():
        step.total.zero_()
        order = torch.randperm(steps.batch * steps.batches, device=device)
        for rows in order.split(steps.batch):
            step.rows.copy_(rows)
            run()

    times = event_times(device, epoch, steps.epochs)
    return result_of(steps, times, step.total.mean().item() / steps.batches)


# ---- calls ------------------------------------------------------------------------------


def make_table(shape, scale):
    """Return a table of mixed features."""
    rng = np.random.default_rng(0)
    n_rows, n_columns = int(shape[0] * scale), shape[1]
    mixing = rng.standard_normal((n_columns, n_columns), dtype=np.float32)
    X = np.empty((n_rows, n_columns), np.float32)
    for rows in np.array_split(X, max(1, n_rows // 100_000)):
        rows[...] = 3 + rng.standard_normal(rows.shape, dtype=np.float32) @ mixing
    return X


def mean_square(values):
    """Return the mean square of values, which shows whether two libraries did the same work."""
    return float(np.square(np.asarray(values), dtype=np.float64).mean())


def transformer_call(work, device, scale, package):
    """Time the fit of a package's transformer on rows that are stored where the package computes."""
    module = {"sknn": "sknn.preprocessing", "cuml": "cuml.preprocessing"}.get(package, "sklearn.preprocessing")
    if work.name == "PCA":
        module = {"sknn": module, "cuml": "cuml.decomposition"}.get(package, "sklearn.decomposition")
    parameters = {"n_components": 50, "whiten": True} if work.name == "PCA" else {}
    transformer = getattr(importlib.import_module(module), work.name)(**parameters)
    X = make_table(work.shape, scale)
    rows = X if package == "sklearn" else array_module(device).asarray(X)
    milliseconds = call_time(device, lambda: transformer.fit(rows))
    learnt = transformer.explained_variance_ if work.name == "PCA" else transformer.var_
    return {"time": milliseconds, "result": mean_square(learnt.get() if hasattr(learnt, "get") else learnt)}


def fit_call(work, device, scale, backend):
    """Time the fit of a classifier for 20 epochs on rows in the memory of the host."""
    from sklearn.exceptions import ConvergenceWarning

    from sknn import MLPClassifier

    X = make_table(work.shape, scale)
    y = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(0.1, 1, 0.1)))
    X /= np.abs(X).max()
    options = {"batch_size": 256, "max_iter": 20, "tol": 0.0, "n_iter_no_change": 10**9, "random_state": 0}
    model = MLPClassifier(SMALL[1:-1], backend=backend, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        milliseconds = call_time(device, lambda: model.fit(X, y))
    return {"time": milliseconds, "result": model.loss_curve_[-1]}


def copy_call(work, device, scale):
    """Time a copy of a table on the device; half of it, the reading, is the least time for a fit that reads it."""
    rows = array_module(device).asarray(make_table(work.shape, scale))
    other = array_module(device).empty_like(rows)
    milliseconds = call_time(device, lambda: array_module(device).copyto(other, rows)) / 2
    return {"time": milliseconds, "result": 0.0}


# The function that times each library, for steps and for calls.
TIMERS = {
    "sknn": lambda work, spec: (
        sknn_steps(work, spec["device"]) if isinstance(work, Steps) else own_call(work, spec["device"], spec["scale"])
    ),
    "sknn on the CPU": lambda work, spec: fit_call(work, "cpu", spec["scale"], "numpy"),
    "scikit-learn": lambda work, spec: transformer_call(work, "cpu", spec["scale"], "sklearn"),
    "cuML": lambda work, spec: transformer_call(work, spec["device"], spec["scale"], "cuml"),
    "a read": lambda work, spec: copy_call(work, spec["device"], spec["scale"]),
    "PyTorch": lambda work, spec: torch_steps(work, spec["device"]),
    "graph": lambda work, spec: torch_steps(work, spec["device"], as_graph=True),
    "compiled graph": lambda work, spec: torch_steps(work, spec["device"], as_graph=True, compiled=True),
}


def own_call(work, device, scale):
    """Time a call of sknn."""
    if work.name == "MLPClassifier":
        return fit_call(work, device, scale, "cupy" if device == "cuda" else "numpy")
    return transformer_call(work, device, scale, "sknn")


def main(spec):
    """Measure the work of ``spec``, and return its figures."""
    work = WORKS[spec["work"]]
    if isinstance(work, Steps):
        work = scaled(work, spec["scale"])
    return TIMERS[spec["library"]](work, spec)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
