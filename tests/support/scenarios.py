"""Scenarios of training: data, and the options by which the models of a stack differ."""

from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse

from sknn._core.data import Data, Problem, Validation, split_rows
from sknn._core.options import Options
from sknn._core.state import State
from sknn._core.trainer import train_stack
from sknn.normalization import BatchNorm, BatchRenorm, GroupNorm, InstanceNorm, LayerNorm, WeightNorm
from sknn.optimizers import SGD, Adam, AdamW, NAdam, RMSprop
from sknn.schedules import Adaptive, GrowingBatch, InverseScaling, OneCycle
from tests.support.backends import rows_on
from tests.support.losses import LOSSES, random_targets
from tests.support.networks import make_network

N_FEATURES, N_OUTPUTS, N_MODELS = 6, 3, 3
ONE = (SGD(),)


@dataclass
class Table:
    """Training and validation rows with targets and weights, in NumPy arrays."""

    X: object
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    validation: tuple | None = None

    def on(self, backend):
        """Return the same data as training on a backend needs it."""
        validation = None
        if self.validation is not None:
            X, y = self.validation
            validation = Validation(rows_on(backend, X), y, score)
        return Data(rows_on(backend, self.X), self.y, self.sample_weight, validation)


def make_data(loss="softmax_log_loss", n_rows=47, weighted=False, form=np.asarray, dtype=float, n_outputs=N_OUTPUTS):
    """Return rows whose targets depend on them, with noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, N_FEATURES)).astype(dtype)
    X[:, 0] = np.arange(n_rows) % n_outputs  # something to learn
    if loss == "softmax_log_loss":
        y = (X[:, :1] + (rng.random((n_rows, 1)) < 0.2)).astype(np.int64) % n_outputs
    else:
        y = np.abs(random_targets(LOSSES[loss], rng, (n_rows, n_outputs), dtype))
    weight = rng.uniform(0, 2, n_rows) * (np.arange(n_rows) % 4 > 0) if weighted else None
    return Table(form(X), y, None if weight is None else weight.astype(dtype))


def make_options(optimizers=ONE, learning_rate=0.05, alpha=0.1, batch_size=10, **others):
    """Return options of a training; a number is for all models, a list has an entry for each model."""
    n_models = len(optimizers)
    rates, strengths = (np.broadcast_to(np.asarray(v, float), n_models).copy() for v in (learning_rate, alpha))
    others = {"n_iter_no_change": np.inf, **others}
    return Options(tuple(optimizers), rates, strengths, batch_size, **others)


def make_state(network, options, n_rows, streams, dtype=float, split=None, models=None):
    """Return the state before the first epoch; model k of a stack starts from weights drawn by seed k."""
    seeds = range(len(options.optimizers)) if models is None else models
    theta = np.concatenate([network.initial_parameters(np.random.RandomState(seed), dtype) for seed in seeds])
    state = State.start(theta, streams, options, network.initial_statistics(len(theta), dtype))
    state.number_rows(n_rows, split)
    return state


@dataclass
class Scenario:
    """A scenario: the data of three models, and the options by which they differ."""

    options: Options
    epochs: int = 12
    weighted: bool = False
    form: object = np.asarray
    loss: str = "softmax_log_loss"
    validation: bool = False
    hidden: tuple = (7, 5)
    norms: tuple = ()
    expected: dict = field(default_factory=dict)

    activations: tuple = ("relu", "tanh")

    def network(self):
        activations = self.activations[: len(self.hidden)]
        network = make_network((N_FEATURES, *self.hidden, N_OUTPUTS), activations, self.loss)
        return replace(network, norms=self.norms)

    def data(self):
        data = make_data(self.loss, weighted=self.weighted, form=self.form)
        if not (self.validation or self.options.early_stopping):
            return data
        rows = slice(None, None, 3 if self.validation else 1)
        return replace(data, validation=(data.X[rows], data.y[rows]))

    def split(self):
        if not self.options.early_stopping or self.validation:
            return None
        return lambda stream: split_rows(stream, 47, 0.3)


def score(prediction, y, sample_weight):
    """Return minus the mean absolute difference from targets, or from the classes' indicators."""
    target = np.eye(N_OUTPUTS)[y[:, 0]] if y.shape[1] == 1 else y
    return -np.abs(prediction - target).mean()


SGDS = (SGD(0.9, True), SGD(0.5, False), SGD(0.0))
ADAMS = (Adam(), Adam(0.5, 0.9, 1e-3), Adam(0.8, 0.99, 1e-6))
RATES, ALPHAS = [0.002, 0.02, 0.05], [0.0, 0.1, 1.0]
DROPOUT = np.array([[0.0, 0.5, 0.1], [0.2, 0.0, 0.3], [0.3, 0.6, 0.0]])
STOPS = {"n_iter_no_change": 2, "tol": 0.01}
RENORM = BatchRenorm(momentum=0.2, start_step=4, r_end=20, d_end=30)
VIRTUAL = BatchNorm(virtual_batch_size=8, position="post")
SCENARIOS = {
    "adam": Scenario(make_options(ADAMS, RATES, ALPHAS)),
    "sgd": Scenario(make_options(SGDS, RATES, ALPHAS)),
    "linear": Scenario(make_options(SGDS, RATES, ALPHAS), hidden=()),
    "full batch": Scenario(make_options(ADAMS, RATES, ALPHAS, 100)),
    "batches of one": Scenario(make_options(SGDS, RATES, ALPHAS, 1), epochs=4),
    "unshuffled": Scenario(make_options(ADAMS, RATES, ALPHAS, shuffle=False)),
    "invscaling": Scenario(make_options(SGDS, [0.1, 0.5, 1.0], ALPHAS, schedule=InverseScaling(0.4))),
    "adaptive": Scenario(
        make_options(SGDS, [0.02, 0.1, 0.002], ALPHAS, schedule=Adaptive(), **{**STOPS, "tol": 0.05}),
        epochs=60,
        expected={"epochs differ": True},
    ),
    "nadam": Scenario(make_options((NAdam(), NAdam(0.5, 0.9), NAdam(0.8, 0.9, 1e-3, 0.5)), RATES, ALPHAS)),
    "rmsprop": Scenario(make_options((RMSprop(), RMSprop(0.5, 0.9), RMSprop(0.9, 0.5, 0.1, True)), RATES, ALPHAS)),
    "decoupled": Scenario(make_options((AdamW(), AdamW(0.5), AdamW(0.8)), RATES, ALPHAS, decouples_decay=True)),
    "one cycle": Scenario(make_options(ADAMS, RATES, ALPHAS, schedule=OneCycle(), n_epochs=12)),
    "regularised": Scenario(
        make_options(
            ADAMS,
            RATES,
            ALPHAS,
            l1=np.array([0.0, 0.1, 1.0]),
            clip_norm=np.array([0.01, 0.1, 10.0]),
            max_norm=np.array([0.5, 1.0, 5.0]),
        ),
        weighted=True,
    ),
    "dropout": Scenario(make_options(ADAMS, RATES, ALPHAS, dropout=DROPOUT)),
    "dropout, hidden": Scenario(make_options(ADAMS, RATES, ALPHAS, dropout=DROPOUT * [0, 1, 1]), weighted=True),
    "dropout, sparse": Scenario(make_options(SGDS, RATES, ALPHAS, dropout=DROPOUT), form=scipy.sparse.csr_matrix),
    "averaged": Scenario(make_options(ADAMS, RATES, ALPHAS, ema_decay=np.array([0.0, 0.5, 0.99]))),
    "averaged, one diverges": Scenario(
        make_options(SGDS, [0.01, 1e200, 0.01], 1.0, ema_decay=np.array([0.9, 0.5, 0.99]), early_stopping=True),
        validation=True,
        expected={"diverged": [False, True, False]},
    ),
    "growing batches": Scenario(replace(make_options(ADAMS, RATES, ALPHAS), batch_size=GrowingBatch(5, 2, 3, 30))),
    "loss watched": Scenario(
        make_options(
            ADAMS, [0.01, 0.05, 0.2], ALPHAS, early_stopping=True, monitors_loss=True, n_iter_no_change=3, tol=1e-3
        ),
        epochs=60,
        weighted=True,
        expected={"epochs differ": True},
    ),
    "learnt activations": Scenario(make_options(ADAMS, RATES, ALPHAS), activations=("prelu", "maxout")),
    # of two values normalised by each other only a sign is left, with a gradient of nothing but rounding, which Adam
    # makes as large as any: batches and groups are larger here
    "batch norm": Scenario(make_options(ADAMS, RATES, ALPHAS, 16), norms=(BatchNorm(), VIRTUAL), weighted=True),
    "batch norm, last batch of one": Scenario(make_options(SGDS, RATES, ALPHAS, 23), norms=(BatchNorm(), None)),
    "batch norm, frozen": Scenario(
        make_options(ADAMS, RATES, ALPHAS, freezes_norms=True), norms=(BatchNorm(), BatchNorm(scale=False))
    ),
    "batch norm, early stopping": Scenario(
        make_options(ADAMS, [0.01, 0.05, 0.2], ALPHAS, 12, early_stopping=True, n_iter_no_change=3, tol=1e-3),
        epochs=60,
        norms=(BatchNorm(center=False), BatchNorm()),
        expected={"epochs differ": True},
    ),
    "batch norm, one diverges": Scenario(
        make_options(SGDS, [0.01, 1e200, 0.01], 1.0),
        norms=(BatchNorm(), BatchNorm()),
        expected={"diverged": [False, True, False]},
    ),
    "batch renorm": Scenario(make_options(ADAMS, RATES, ALPHAS), norms=(RENORM, replace(RENORM, position="post"))),
    "layer norm": Scenario(make_options(SGDS, RATES, ALPHAS), norms=(LayerNorm(), LayerNorm(position="post"))),
    "group norm": Scenario(
        make_options(SGDS, RATES, ALPHAS, dropout=DROPOUT), hidden=(8, 6), norms=(GroupNorm(2), InstanceNorm(2))
    ),
    "weight norm": Scenario(
        make_options(ADAMS, RATES, ALPHAS), norms=(WeightNorm(), WeightNorm()), form=scipy.sparse.csr_matrix
    ),
    "weights": Scenario(make_options(ADAMS, RATES, ALPHAS), weighted=True),
    "sparse": Scenario(make_options(ADAMS, RATES, ALPHAS), weighted=True, form=scipy.sparse.csr_matrix),
    "different ends": Scenario(
        make_options(ADAMS, [0.001, 0.03, 0.1], 0.0, **STOPS), epochs=60, expected={"epochs differ": True}
    ),
    "early stopping": Scenario(
        make_options(ADAMS, [0.01, 0.05, 0.2], ALPHAS, early_stopping=True, n_iter_no_change=3, tol=1e-3),
        epochs=60,
        weighted=True,
        expected={"epochs differ": True},
    ),
    "own validation": Scenario(
        make_options(ADAMS, [0.01, 0.05, 0.2], ALPHAS, early_stopping=True, n_iter_no_change=3, tol=1e-3),
        epochs=60,
        validation=True,
        expected={"epochs differ": True},
    ),
    "one diverges": Scenario(make_options(SGDS, [0.01, 1e200, 0.01], 1.0), expected={"diverged": [False, True, False]}),
    "each loss: binary": Scenario(make_options(ADAMS, RATES, ALPHAS), loss="binary_log_loss", weighted=True),
    "each loss: squared": Scenario(make_options(SGDS, RATES, ALPHAS), loss="squared_error", weighted=True),
    "each loss: poisson": Scenario(make_options(ADAMS, RATES, ALPHAS), loss="poisson", weighted=True),
}
IS_SPARSE = {name: scenario.form is not np.asarray for name, scenario in SCENARIOS.items()}
NOT_CAPTURED = {name: "SparseGather" for name in SCENARIOS if IS_SPARSE[name]}  # SciPy multiplies, on the host


def train(scenario, backend, shared, models):
    """Return the states of some models, trained as one stack. Model k has the same start in every stack."""
    options, network = scenario.options.take(models), scenario.network()
    streams = [np.random.RandomState(7 if shared else 7 + k) for k in (models[:1] if shared else models)]
    state = make_state(network, options, 47, streams, split=scenario.split(), models=models)
    return train_stack(Problem(backend, network, options, scenario.data().on(backend)), state, scenario.epochs)
