"""Training: the whole fit of a stack against each model alone, against loops written out, and exact solutions."""

import tracemalloc
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score

from sknn._core import lbfgs
from sknn._core.data import Problem, split_rows
from sknn._core.layout import pack
from sknn._core.state import State
from sknn._core.trainer import Trainer
from sknn.losses import SoftmaxLogLoss
from sknn.optimizers import SGD, Adam
from sknn.schedules import Adaptive, Constant, InverseScaling
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs, slow_where
from tests.support.differences import slope
from tests.support.losses import LOSSES
from tests.support.networks import make_network, plain_layers
from tests.support.scenarios import (
    N_FEATURES,
    N_MODELS,
    N_OUTPUTS,
    SCENARIOS,
    Scenario,
    Table,
    make_data,
    make_options,
    make_state,
    score,
    train,
)

marks = {"cuda": pytest.mark.slow}  # whole fits by a simulator
each_backend = pytest.mark.parametrize(
    "backend", [pytest.param(backend, id=name, marks=marks.get(name, ())) for name, backend in BACKENDS.items()]
)
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_stream = pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
each_optimizer = pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])


def make_trainer(backend, options, data, loss="softmax_log_loss", hidden=(5,), seed=7):
    """Return a trainer of a new state, all models on one stream."""
    n_outputs = N_OUTPUTS if loss == "softmax_log_loss" else data.y.shape[1]
    network = make_network((N_FEATURES, *hidden, n_outputs), loss=loss)
    n_rows, dtype = data.X.shape[0], data.X.dtype
    state = make_state(network, options, n_rows, [np.random.RandomState(seed)], dtype)
    return Trainer(Problem(backend, network, options, data.on(backend)), state)


# ---- a stack is its models --------------------------------------------------------------


def make_objective(backend, network, theta, alpha, data):
    """Return the full-batch objective at ``theta (1, P)``."""
    options = make_options(alpha=alpha)
    return lbfgs.Objective(Problem(backend, network, options, data.on(backend)), State.start(theta, [], options))


def assert_same_state(mine, other):
    """All that training carries is equal; floats to rounding, see the caller."""
    for name in [item.name for item in fields(State) if item.name != "streams"]:
        a, b = (np.asarray(getattr(state, name), dtype=None) for state in (mine, other))
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert [s.randint(2**31) for s in mine.streams] == [s.randint(2**31) for s in other.streams]


@slow_where(
    all_pairs(each_backend, each_stream, pytest.mark.parametrize("name", SCENARIOS)),
    lambda backend, **others: backend is BACKENDS["reference"],
)
@pytest.mark.fast_share(4)
def test_models_trained_together_are_those_trained_alone(name, shared, backend):
    """To rounding, for BLAS and NumPy may add up one matrix and a stack of them in another order."""
    scenario = SCENARIOS[name]
    together = train(scenario, backend, shared, list(range(N_MODELS)))
    for k, mine in enumerate(together):
        (alone,) = train(scenario, backend, shared, [k])
        assert_same_state(mine, alone)
    assert [state.diverged.item() for state in together] == scenario.expected.get("diverged", [False] * N_MODELS)
    lengths = {len(state.loss_curve) for state in together}
    assert (len(lengths) > 1) == bool(scenario.expected)


@each_backend
def test_models_that_diverge_one_after_the_other_are_those_alone(backend):
    """What a model falls back to must not depend on when another left the stack."""
    options = make_options((SGD(0.0),) * 3, [1000, 350, 200], 0.0)
    scenario = Scenario(options, epochs=30, loss="squared_error", hidden=())
    together = train(scenario, backend, True, [0, 1, 2])
    ends = [len(state.loss_curve) for state in together]
    assert ends == [ends[0], ends[0] + 1, ends[0] + 2]
    for k, mine in enumerate(together):
        (alone,) = train(scenario, backend, True, [k])
        assert mine.diverged.all() and np.isfinite(mine.theta).all()
        np.testing.assert_allclose(mine.theta, alone.theta, rtol=1e-8)


@each_backend
def test_a_subset_of_a_stack_goes_on_alike(backend):
    scenario = SCENARIOS["adam"]
    network, data, options = scenario.network(), scenario.data(), scenario.options
    state = make_state(network, options, 47, [np.random.RandomState(k) for k in range(N_MODELS)])
    trainer = Trainer(Problem(backend, network, options, data.on(backend)), state)
    trainer.train_epoch()
    problem = Problem(backend, network, options.take([2, 0]), data.on(backend))
    part = Trainer(problem, state.take([2, 0]))
    trainer.train_epoch()
    part.train_epoch()
    assert_same_state(part.state, trainer.state.take([2, 0]))


def test_a_taken_state_is_independent():
    scenario = SCENARIOS["early stopping"]
    options, network = scenario.options, scenario.network()
    streams = [np.random.RandomState(0)]
    state = make_state(network, options, 47, streams, split=scenario.split())
    before, taken = state.take([0, 1, 2]), state.take([1])
    taken.streams[0].random_sample()
    for value in vars(taken).values():
        if isinstance(value, np.ndarray):
            value[...] = 0
    assert_same_state(state, before)


# ---- against loops written out ----------------------------------------------------------


@dataclass
class LinearByHand:
    """Least squares by mini-batch gradient descent, written out; scikit-learn's loss curve."""

    data: Table
    learning_rate: float
    alpha: float
    batch_size: int

    def fit(self, W, b, seed, epochs):
        stream, order, curve = np.random.RandomState(seed), np.arange(len(self.data.y)), []
        for _ in range(epochs):
            order = order[stream.permutation(len(order))]
            losses = [self._step(W, b, order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
            curve.append(sum(losses) / len(order))
        return W, b, curve

    def _step(self, W, b, rows):
        """Move W and b by one step; return the batch's loss times its length."""
        weight = np.ones(len(rows)) if self.data.sample_weight is None else self.data.sample_weight[rows]
        if weight.sum() == 0:
            return 0.0
        X, share = self.data.X[rows], (weight / weight.sum())[:, None]
        residual = X @ W + b - self.data.y[rows]
        decay = self.alpha / weight.sum()
        loss = (share * residual**2).sum() / 2 / residual.shape[1] + decay / 2 * (W**2).sum()
        d_W, d_b = X.T @ (share * residual) + decay * W, (share * residual).sum(axis=0)
        W -= self.learning_rate * d_W
        b -= self.learning_rate * d_b
        return len(rows) * loss


@all_pairs(
    each_backend,
    pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
    pytest.mark.parametrize("n_rows, batch_size", [(20, 10), (23, 10), (21, 10), (7, 10), (1, 10), (5, 1), (10, 10)]),
)
def test_linear_regression_as_written_out(n_rows, batch_size, weighted, backend):
    """With a whole number of batches, a shorter last one, one of a single row, and fewer rows than a batch."""
    data = make_data("squared_error", n_rows, weighted)
    if weighted:
        data.sample_weight[: n_rows // 2] = 0  # some batches may have no weight at all
    trainer = make_trainer(backend, make_options((SGD(0.0),), 0.05, 0.3, batch_size), data, "squared_error", ())
    layout, theta = trainer.problem.network.layout, trainer.state.theta.copy()
    hand = LinearByHand(data, 0.05, 0.3, batch_size)
    W, b, curve = hand.fit(
        layout.of_kind("weights", theta)[0][0].copy(), layout.of_kind("biases", theta)[0][0].copy(), 7, epochs=4
    )
    for _ in range(4):
        trainer.train_epoch()
    np.testing.assert_allclose(trainer.state.theta, pack([W], [b]), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(np.ravel(trainer.state.loss_curve), curve, rtol=1e-11, atol=1e-14)
    assert trainer.state.samples_seen == 4 * n_rows
    assert trainer.state.steps == 4 * -(-n_rows // batch_size)


@all_pairs(each_backend, each_optimizer, each_loss)
def test_a_batch_without_weight_moves_nothing(loss, optimizer, backend):
    data = make_data(loss, 12, weighted=True)
    data.sample_weight[:] = 0
    trainer = make_trainer(backend, make_options((optimizer,), alpha=5.0, batch_size=5), data, loss)
    before = trainer.state.theta.copy()
    trainer.train_epoch()
    np.testing.assert_array_equal(trainer.state.theta, before)
    np.testing.assert_array_equal(trainer.state.slots, 0)
    assert trainer.state.loss_curve[0] == 0 and not trainer.stopped.any()


def stopping_epoch(values, tol, patience, rising):
    """Return after how many epochs a curve ends that is watched as in scikit-learn."""
    best, stale = (-np.inf if rising else np.inf), 0
    for epoch, value in enumerate(values, start=1):
        gain = value - best if rising else best - value
        stale = stale + 1 if gain < tol else 0
        best = max(best, value) if rising else min(best, value)
        if stale > patience:
            return epoch
    return len(values)


@all_pairs(
    each_backend, pytest.mark.parametrize("patience", [1, 3]), pytest.mark.parametrize("early_stopping", [False, True])
)
def test_training_ends_after_patience_without_improvement(early_stopping, patience, backend):
    name = "early stopping" if early_stopping else "different ends"
    scenario = SCENARIOS[name]
    options = {"n_iter_no_change": patience, "tol": 0.01}
    stopped = train(replace(scenario, options=replace(scenario.options, **options)), backend, True, [0, 1, 2])
    endless = replace(scenario.options, n_iter_no_change=np.inf)
    longer = train(replace(scenario, options=endless), backend, True, [0, 1, 2])
    for mine, whole in zip(stopped, longer, strict=True):
        curve = np.ravel(whole.validation_scores if early_stopping else whole.loss_curve)
        assert len(mine.loss_curve) == stopping_epoch(curve, 0.01, patience, rising=early_stopping)


@each_backend
@pytest.mark.parametrize("schedule", [Constant(), InverseScaling(0.5), Adaptive()], ids=str)
def test_rates_follow_the_schedule(schedule, backend):
    options = make_options((SGD(0.0),) * 2, [1e-3, 4e-6], 0.0, n_iter_no_change=1, tol=1e3, schedule=schedule)
    trainer = make_trainer(backend, options, make_data())
    rates = []
    for _ in range(4):
        trainer.train_epoch()
        rates.append(trainer.state.learning_rate.copy())
    divisors = {
        Constant: np.ones((4, 1)),
        InverseScaling: np.sqrt(47 * np.arange(1, 5) + 1)[:, None],
        Adaptive: np.array([[1, 1], [1, 1], [5, 5], [5, 5]]),  # the third epoch is the second without improvement
    }
    expected = np.array([1e-3, 4e-6]) / divisors[type(schedule)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert trainer.stopped.all() == (not isinstance(schedule, Adaptive))


@each_backend
@each_stream
def test_the_best_parameters_are_those_of_the_best_score(shared, backend):
    scenario = SCENARIOS["early stopping"]
    options, network, data = scenario.options, scenario.network(), scenario.data()
    streams = [np.random.RandomState(k) for k in range(1 if shared else N_MODELS)]
    state = make_state(network, options, 47, streams, split=scenario.split())
    trainer, thetas = Trainer(Problem(backend, network, options, data.on(backend)), state), []
    for _ in range(15):
        trainer.train_epoch()
        thetas.append(state.theta.copy())
    scores = np.array(state.validation_scores)
    for k, best in enumerate(scores.argmax(axis=0)):
        np.testing.assert_array_equal(state.best[k], thetas[best][k])
        assert state.best_score[k] == scores[best, k]
        rows = state.validation_rows[0 if shared else k]
        z = plain_layers(network, state.best[k], data.X[rows])[-1][None]
        SoftmaxLogLoss().link(np, z)
        assert state.best_score[k] == pytest.approx(score(z[0], data.y[rows], None))
    np.testing.assert_array_equal(state.prediction_model[0], state.best)


# ---- exact solutions --------------------------------------------------------------------


def exact_solution(loss, data, alpha):
    """Return scikit-learn's weights and biases of the penalised linear model."""
    if loss == "squared_error":
        model = Ridge(alpha, tol=1e-12).fit(data.X, data.y, data.sample_weight)
        return model.coef_.T, model.intercept_
    y = data.y[:, 0]
    model = LogisticRegression(C=1 / alpha, tol=1e-12, max_iter=10_000, solver="newton-cg")
    model.fit(data.X, y, data.sample_weight)
    return model.coef_.T, model.intercept_


LINEAR = [("squared_error", N_OUTPUTS), ("binary_log_loss", 1), ("softmax_log_loss", N_OUTPUTS)]


@slow_where(
    all_pairs(
        each_backend,
        pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
        pytest.mark.parametrize("loss, n_outputs", LINEAR),
    ),
    lambda backend, **others: backend is BACKENDS["reference"],
)
def test_full_batches_find_the_exact_linear_model(loss, n_outputs, weighted, backend):
    data = make_data(loss, weighted=weighted, n_outputs=n_outputs)
    trainer = make_trainer(backend, make_options((SGD(0.9),), 0.3, 2.0, 47), data, loss, ())
    for _ in range(1500):
        trainer.train_epoch()
    W, b = exact_solution(loss, data, 2.0)
    layout = trainer.problem.network.layout
    np.testing.assert_allclose(layout.of_kind("weights", trainer.state.theta)[0][0], W, atol=1e-7)
    if loss != "softmax_log_loss":  # whose biases are unique but for a constant
        np.testing.assert_allclose(layout.of_kind("biases", trainer.state.theta)[0][0, 0], b, atol=1e-7)


@all_pairs(
    each_backend,
    pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"]),
    pytest.mark.parametrize("loss, n_outputs", LINEAR),
)
def test_lbfgs_finds_the_exact_linear_model(loss, n_outputs, weighted, backend):
    data = make_data(loss, weighted=weighted, n_outputs=n_outputs)
    network = make_network((N_FEATURES, n_outputs), loss=loss)
    theta = network.initial_parameters(np.random.RandomState(0), float)
    objective = make_objective(backend, network, theta, 2.0, data)
    result = lbfgs.minimize(
        objective, theta, max_iter=1000, max_fun=10_000, tol=1e-10, after_iteration=lambda loss, parameters: False
    )
    W, _ = exact_solution(loss, data, 2.0)
    found = network.layout.of_kind("weights", result.x[None])[0][0]
    np.testing.assert_allclose(found, W, atol=1e-3)  # the search ends where the loss hardly moves


@all_pairs(
    each_backend,
    each_loss,
    pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"]),
)
def test_gradient_of_the_lbfgs_objective_by_differences(form, loss, backend):
    data = make_data(loss, weighted=True, form=form)
    if loss in ("absolute_error", "quantile", "huber"):
        data = replace(data, y=data.y + 10)  # away from the kinks
    network = make_network((N_FEATURES, 4, N_OUTPUTS), "tanh", loss)
    theta = network.initial_parameters(np.random.RandomState(0), float)
    objective = make_objective(backend, network, theta, 0.7, data)
    start, direction = theta[0].copy(), np.random.default_rng(1).standard_normal(theta[0].shape)
    numeric = slope(lambda parameters: objective(parameters)[0], start, direction)
    value, gradient = objective(start)
    np.testing.assert_allclose(gradient @ direction, numeric, rtol=1e-8)
    np.testing.assert_allclose(value, penalised_loss(network, start, data, 0.7), rtol=1e-12)


def penalised_loss(network, parameters, data, alpha):
    """Return the weighted mean loss, from a plain pass, and the penalty."""
    X, weight = data.X.toarray() if scipy.sparse.issparse(data.X) else data.X, data.sample_weight
    z = plain_layers(network, parameters, X)[-1]
    rows = network.loss.value_and_gradient(np, z, data.y, np.empty_like(z))
    squares = sum((W**2).sum() for W in network.layout.of_kind("weights", parameters[None]))
    factor = network.loss.objective_factor(z.shape[1])
    return factor * np.average(rows, weights=weight) + alpha / 2 * squares / weight.sum()


# ---- plans ------------------------------------------------------------------------------


def big_trainer(loss="softmax_log_loss", weighted=True, dtype=np.float32, optimizer=None):
    """Return a trainer whose smallest buffer of a layer is far bigger than what a step may allocate."""
    data = make_data(loss, 700, weighted, dtype=dtype)
    options = make_options((optimizer or Adam(),) * 2, batch_size=200)
    return make_trainer(BACKENDS["cpu"], options, data, loss, (100, 50))


@each_optimizer
@pytest.mark.parametrize("loss", ["softmax_log_loss", "binary_log_loss", "squared_error"])
def test_a_step_allocates_nothing_big(loss, optimizer):
    trainer = big_trainer(loss, optimizer=optimizer)
    trainer.train_epoch()
    epoch = trainer._steps_of_epoch()
    epoch.fill_tables(trainer.state)
    tracemalloc.start()
    try:
        epoch.run()
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 2_000
    assert peak < 4_000


def test_one_plan_serves_every_step_of_every_epoch():
    trainer = big_trainer()
    epoch = trainer._steps_of_epoch()
    (plans,) = epoch._pieces
    calls = [list(loop.calls) for loop, _ in plans]
    buffers = [[id(value) for value in getattr(call, "args", ())] for plan in calls for call in plan]
    assert [times for _, times in plans] == [3, 1]
    for _ in range(3):
        trainer.train_epoch()
    assert trainer._steps_of_epoch() is epoch and epoch._pieces[0] is plans
    assert [list(loop.calls) for loop, _ in plans] == calls
    assert [[id(value) for value in getattr(call, "args", ())] for plan in calls for call in plan] == buffers


@each_backend
@each_optimizer
def test_epochs_by_one_trainer_are_those_by_several_bit_for_bit(optimizer, backend):
    options, data = make_options((optimizer,) * 2, [0.01, 0.03], schedule=InverseScaling()), make_data(weighted=True)
    whole, parts = (make_trainer(backend, options, data) for _ in range(2))
    for _ in range(6):
        whole.train_epoch()
    for epochs in (1, 3, 2):
        parts = Trainer(parts.problem, parts.state)
        for _ in range(epochs):
            parts.train_epoch()
    for name in ("theta", "slots", "loss_curve", "learning_rate", "order"):
        np.testing.assert_array_equal(getattr(parts.state, name), getattr(whole.state, name), err_msg=name)


@each_backend
def test_data_and_options_are_only_read(backend):
    data, options = make_data(weighted=True), make_options((Adam(),))
    for array in (data.X, data.y, data.sample_weight, options.alpha, options.learning_rate):
        array.flags.writeable = False
    trainer = make_trainer(backend, options, data)
    trainer.train_epoch()
    assert np.isfinite(trainer.state.theta).all()


@each_loss
def test_float32_is_trained_in_float32_and_like_float64(loss):
    curves = []
    for dtype in (np.float32, np.float64):
        trainer = make_trainer(BACKENDS["cpu"], make_options((Adam(),)), make_data(loss, dtype=dtype), loss)
        for _ in range(5):
            trainer.train_epoch()
        assert trainer.state.theta.dtype == trainer.state.slots.dtype == dtype
        curves.append(np.ravel(trainer.state.loss_curve))
    np.testing.assert_allclose(*curves, rtol=1e-4)


# ---- divergence -------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("rate", [1e200, 1e3], ids=["at once", "later"])
def test_a_diverging_model_keeps_finite_parameters(rate, backend):
    options = make_options((SGD(0.0),) * 2, [0.01, rate], 0.0)
    trainer = make_trainer(backend, options, make_data("squared_error"), "squared_error")
    while not trainer.stopped.any():
        trainer.train_epoch()
    np.testing.assert_array_equal(trainer.state.diverged, [False, True])
    np.testing.assert_array_equal(trainer.stopped, [False, True])
    assert np.isfinite(trainer.state.theta).all()
    assert np.isfinite([loss[0] for loss in trainer.state.loss_curve]).all()


# ---- rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [None, np.arange(40) % 4], ids=["any", "stratified"])
def test_a_split_takes_every_row_once(labels):
    train_rows, validation_rows = split_rows(np.random.RandomState(0), 40, 0.2, labels)
    assert sorted([*train_rows, *validation_rows]) == list(range(40)) and len(validation_rows) == 8
    if labels is not None:
        np.testing.assert_array_equal(np.bincount(labels[validation_rows]), [2, 2, 2, 2])


def test_rows_are_numbered_anew_for_another_number_of_rows_only():
    network, options = make_network((N_FEATURES, N_OUTPUTS)), make_options()
    state = make_state(network, options, 47, [np.random.RandomState(0)])
    state.order = state.order[:, ::-1]
    state.number_rows(47)
    np.testing.assert_array_equal(state.order[0], np.arange(47)[::-1])
    state.number_rows(12)
    np.testing.assert_array_equal(state.order, [np.arange(12)])


def test_each_epoch_permutes_the_order_of_the_last():
    """As in scikit-learn, which shuffles its row numbers again and again."""
    trainer, stream = make_trainer(BACKENDS["cpu"], make_options(), make_data(), seed=3), np.random.RandomState(3)
    expected = np.arange(47)
    for _ in range(3):
        trainer.train_epoch()
        expected = expected[stream.permutation(47)]
        np.testing.assert_array_equal(trainer.state.order, [expected])


@each_backend
def test_a_network_learns(backend):
    data = make_data()
    trainer = make_trainer(backend, make_options((Adam(),), 0.05, 0.0), data, hidden=(20,))
    for _ in range(150):
        trainer.train_epoch()
    z = plain_layers(trainer.problem.network, trainer.state.theta[0], data.X)[-1]
    assert accuracy_score(data.y[:, 0], z.argmax(axis=1)) == 1
