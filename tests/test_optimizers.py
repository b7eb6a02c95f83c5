"""Optimisers against formulas worked by hand and PyTorch, over many steps, on both backends."""

import pickle
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sknn import optimizers as module
from sknn._backend import operations as ops
from sknn._backend.operations import Tables
from sknn.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    FullBatch,
    Lion,
    NAdam,
    Optimizer,
    RMSprop,
)
from tests.support.backends import BACKENDS
from tests.support.classes import all_subclasses
from tests.support.designs import all_pairs

N_STEPS, N_PARAMETERS, N_DECAYED = 20, 12, 8
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SOME = [
    (SGD(0.9), SGD(0.5, False), SGD(0.0)),
    (Adam(), Adam(0.5, 0.99, 1e-3), Adam(0.0, 0.9, 0.1)),
    (AdamW(), AdamW(0.5, 0.99, 1e-3), AdamW(0.0, 0.9, 0.1)),
    (AMSGrad(), AMSGrad(0.5, 0.99, 1e-3), AMSGrad(0.0, 0.9, 0.1)),
    (NAdam(), NAdam(0.5, 0.99, 1e-3), NAdam(0.9, 0.9, 0.1, 0.5)),
    (Adagrad(), Adagrad(0.1), Adagrad(1e-3)),
    (Adadelta(), Adadelta(0.5), Adadelta(0.95, 1e-3)),
    (RMSprop(), RMSprop(0.99, 0.9, 1e-3), RMSprop(0.5, 0.5, 0.1, True)),
    (Lion(), Lion(0.5, 0.9), Lion(0.0, 0.0)),
]
each_group = pytest.mark.parametrize("optimizers", SOME, ids=lambda group: type(group[0]).__name__)


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


CURVATURE = np.exp(random(N_PARAMETERS, seed=1))


def gradient(theta):
    """Return the gradient of a bumpy function."""
    return CURVATURE * theta + np.cos(3 * theta)


def move(backend, optimizers, theta, rates, gradient=gradient, alpha=0.0, scale=1.0):
    """Return theta after each step, ``(steps + 1, models, P)``; ``rates (steps, models)``."""
    dtype, n_models = theta.dtype, len(theta)
    theta, slots = theta.copy(), np.zeros((optimizers[0].n_slots, *theta.shape), dtype)
    constants = np.array([optimizer.constants() for optimizer in optimizers], dtype)
    scales = np.full(rates.shape, scale, dtype)
    second = second_rates(optimizers, rates)
    second = None if second is None else second.astype(dtype)
    losses = np.zeros(rates.shape)
    tables = Tables(np.zeros(2, np.int64), None, scales, rates.astype(dtype), losses, second)
    alpha, path = np.full(n_models, alpha, dtype), [theta.copy()]
    for _ in rates:
        grad = gradient(theta).astype(dtype)
        backend.execute(ops.Update(optimizers[0], theta, grad, slots, constants, alpha, N_DECAYED, tables))
        backend.execute(ops.Advance(tables.clock, 0))
        path.append(theta.copy())
    return np.stack(path)


def second_rates(optimizers, rates):
    """Return those that go with ``rates``, which are in proportion to the learning rate."""
    steps = np.arange(1, len(rates) + 1)
    if optimizers[0].second_rates(1.0, steps) is None:
        return None
    units = [(optimizer.second_rates(1.0, steps) / optimizer.rates(1.0, steps)) for optimizer in optimizers]
    return np.stack(units, axis=1) * rates


def all_rates(optimizers, learning_rate):
    steps = np.arange(1, N_STEPS + 1)
    return np.stack([optimizer.rates(learning_rate, steps) for optimizer in optimizers], axis=1)


def test_every_optimizer_is_in_the_table_and_tested():
    assert set(OPTIMIZERS.values()) == all_subclasses(Optimizer) - {FullBatch}  # which takes no steps
    assert {type(group[0]) for group in SOME} == set(OPTIMIZERS.values())


# ---- formulas ---------------------------------------------------------------------------


def sgd_by_hand(optimizer, theta, rates):
    """scikit-learn's form: v = mu v - rate g; theta += v, or mu v - rate g with Nesterov's."""
    velocity, path = 0.0, [theta]
    for rate in rates:
        g = gradient(theta)
        velocity = optimizer.momentum * velocity - rate * g
        theta = theta + (optimizer.momentum * velocity - rate * g if optimizer.nesterovs_momentum else velocity)
        path.append(theta)
    return np.stack(path)


def adam_by_hand(optimizer, theta, learning_rate):
    """Kingma and Ba (2015), the more efficient order of computation at the end of section 2."""
    m = v = 0.0
    path = [theta]
    for t in range(1, N_STEPS + 1):
        g = gradient(theta)
        m = optimizer.beta_1 * m + (1 - optimizer.beta_1) * g
        v = optimizer.beta_2 * v + (1 - optimizer.beta_2) * g**2
        rate = learning_rate * (1 - optimizer.beta_2**t) ** 0.5 / (1 - optimizer.beta_1**t)
        theta = theta - rate * m / (v**0.5 + optimizer.epsilon)
        path.append(theta)
    return np.stack(path)


@all_pairs(
    each_backend,
    pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 1.0]),
    pytest.mark.parametrize("nesterov", [True, False]),
)
def test_sgd_with_a_changing_rate(momentum, nesterov, backend):
    optimizer, theta = SGD(momentum, nesterov), random((1, N_PARAMETERS))
    rates = 0.05 / np.sqrt(np.arange(1, N_STEPS + 1))
    path = move(backend, [optimizer], theta, rates[:, None])
    np.testing.assert_allclose(path, sgd_by_hand(optimizer, theta, rates), rtol=1e-12, atol=1e-13)


@each_backend
@pytest.mark.parametrize("optimizer", [Adam(), *SOME[1]], ids=str)
def test_adam(optimizer, backend):
    theta = random((1, N_PARAMETERS))
    path = move(backend, [optimizer], theta, all_rates([optimizer], 0.05))
    np.testing.assert_allclose(path, adam_by_hand(optimizer, theta, 0.05), rtol=1e-12, atol=1e-13)


@each_backend
@given(g=st.floats(-1e3, 1e3).filter(lambda g: abs(g) > 1e-3))
@settings(max_examples=20)
def test_steps_of_a_constant_gradient(backend, g):
    """Adam moves by lr g / (|g| + eps / sqrt(1 - beta_2^t)); momentum's steps add up to a geometric series."""
    theta, t = np.zeros((1, N_PARAMETERS)), np.arange(1, N_STEPS + 1)

    def steps(optimizer):
        path = move(backend, [optimizer], theta, all_rates([optimizer], 0.1), lambda theta: np.full_like(theta, g))
        return np.diff(path[:, 0, 0])

    epsilon = 0.5
    expected = -0.1 * g / (abs(g) + epsilon / np.sqrt(1 - 0.99**t))
    np.testing.assert_allclose(steps(Adam(0.8, 0.99, epsilon)), expected, rtol=1e-9)
    np.testing.assert_allclose(steps(SGD(0.8, False)), -0.1 * g * (1 - 0.8**t) / 0.2, rtol=1e-9)
    np.testing.assert_allclose(steps(SGD(0.8, True)), -0.1 * g * (1 - 0.8 ** (t + 1)) / 0.2, rtol=1e-9)


@each_backend
@each_group
def test_no_gradient_moves_nothing(optimizers, backend):
    theta = random((3, N_PARAMETERS))
    path = move(backend, optimizers, theta, all_rates(optimizers, 0.1), np.zeros_like)
    np.testing.assert_array_equal(path, np.broadcast_to(theta, path.shape))


@each_backend
@each_group
@pytest.mark.fast_share(4)
def test_decay_is_the_gradient_of_the_penalty_on_the_first_parameters(optimizers, backend):
    theta, rates = random((3, N_PARAMETERS)), all_rates(optimizers, 0.02)
    decay = 0.7 * 0.25 * (np.arange(N_PARAMETERS) < N_DECAYED)
    decayed = move(backend, optimizers, theta, rates, alpha=0.7, scale=0.25)
    by_gradient = move(backend, optimizers, theta, rates, lambda theta: gradient(theta) + decay * theta)
    np.testing.assert_allclose(decayed, by_gradient, rtol=1e-11, atol=1e-13)


@each_backend
@each_group
def test_the_penalty_is_added_to_the_loss_of_the_step(optimizers, backend):
    theta, rates = random((3, N_PARAMETERS)), all_rates(optimizers, 0.02)
    second = second_rates(optimizers, rates)
    tables = Tables(np.array([4, 0]), None, np.full(rates.shape, 0.25), rates, np.ones(rates.shape), second)
    slots, constants = np.zeros((optimizers[0].n_slots, *theta.shape)), np.array([o.constants() for o in optimizers])
    alpha = np.array([0.0, 0.5, 2.0])
    penalty = alpha * 0.25 / 2 * (theta[:, :N_DECAYED] ** 2).sum(axis=1)
    backend.execute(ops.Update(optimizers[0], theta, gradient(theta), slots, constants, alpha, N_DECAYED, tables))
    np.testing.assert_allclose(tables.loss[4], 1 + penalty, rtol=1e-13)
    np.testing.assert_array_equal(np.delete(tables.loss, 4, axis=0), 1)


# ---- PyTorch ----------------------------------------------------------------------------


def peer_path(make, theta, weight_decay=0.0):
    """Return PyTorch's path; ``make`` takes groups of parameters."""
    torch = pytest.importorskip("torch")
    parts = [torch.nn.Parameter(torch.tensor(part)) for part in (theta[:N_DECAYED], theta[N_DECAYED:])]
    optimizer = make(torch.optim, [{"params": parts[:1], "weight_decay": weight_decay}, {"params": parts[1:]}])
    path = [theta]
    for _ in range(N_STEPS):
        for part, g in zip(parts, np.split(gradient(path[-1]), [N_DECAYED]), strict=True):
            part.grad = torch.tensor(g)
        optimizer.step()
        path.append(np.concatenate([part.detach().numpy() for part in parts]))
    return np.stack(path)


@each_backend
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True), (0.3, True)])
@pytest.mark.fast_share(5)
def test_sgd_is_pytorchs_while_the_rate_stays(momentum, nesterov, backend):
    def make(optim, groups):
        return optim.SGD(groups, lr=0.03, momentum=momentum, nesterov=nesterov)

    optimizer, theta = SGD(momentum, nesterov), random((1, N_PARAMETERS))
    path = move(backend, [optimizer], theta, all_rates([optimizer], 0.03), alpha=0.4, scale=0.5)
    np.testing.assert_allclose(path[:, 0], peer_path(make, theta[0], 0.2), rtol=1e-11, atol=1e-13)


@each_backend
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_adam_is_pytorchs_while_epsilon_is_negligible(betas, backend):
    """PyTorch adds epsilon after the correction of v, the paper's section 2 before it."""

    def make(optim, groups):
        return optim.Adam(groups, lr=0.03, betas=betas, eps=1e-14)

    optimizer, theta = Adam(*betas, 1e-14), random((1, N_PARAMETERS))
    path = move(backend, [optimizer], theta, all_rates([optimizer], 0.03), alpha=0.4, scale=0.5)
    np.testing.assert_allclose(path[:, 0], peer_path(make, theta[0], 0.2), rtol=1e-9, atol=1e-11)


PEERS = {
    "AMSGrad": (
        [AMSGrad(0.9, 0.999, 1e-14), AMSGrad(0.5, 0.9, 1e-14)],
        lambda o: {"betas": (o.beta_1, o.beta_2), "eps": o.epsilon, "amsgrad": True},
    ),
    "NAdam": (
        [NAdam(0.9, 0.999, 1e-14), NAdam(0.5, 0.9, 1e-14, 0.3)],
        lambda o: {"betas": (o.beta_1, o.beta_2), "eps": o.epsilon, "momentum_decay": o.momentum_decay},
    ),
    "Adagrad": ([Adagrad(), Adagrad(0.1)], lambda o: {"eps": o.epsilon}),
    "Adadelta": ([Adadelta(), Adadelta(0.5, 1e-3)], lambda o: {"rho": o.rho, "eps": o.epsilon}),
    "RMSprop": (
        [RMSprop(), RMSprop(0.99, 0.9), RMSprop(0.8, 0.5, 1e-3, True)],
        lambda o: {"alpha": o.rho, "momentum": o.momentum, "eps": o.epsilon, "centered": o.centered},
    ),
}


@each_backend
@pytest.mark.parametrize("name", PEERS)
def test_pytorch(name, backend):
    optimizers, options = PEERS[name]
    for optimizer in optimizers:
        theta = random((1, N_PARAMETERS))
        path = move(backend, [optimizer], theta, all_rates([optimizer], 0.03), alpha=0.4, scale=0.5)
        parameters = {"lr": 0.03, **options(optimizer)}
        peer = peer_path(partial(make_peer, "Adam" if name == "AMSGrad" else name, parameters), theta[0], 0.2)
        precision = 1e-6 if name == "NAdam" else 1e-9  # PyTorch keeps the product of momenta in float32
        np.testing.assert_allclose(path[:, 0], peer, rtol=precision, atol=precision)


def make_peer(name, parameters, optim, groups):
    return getattr(optim, name)(groups, **parameters)


@each_backend
def test_decoupled_decay_is_pytorchs(backend):
    def make(optim, groups):
        return optim.AdamW(groups, lr=0.03, eps=1e-14, weight_decay=0.0)

    theta, optimizer = random((1, N_PARAMETERS)), AdamW(epsilon=1e-14)
    rates, peer = all_rates([optimizer], 0.03), peer_path(make, theta[0], 0.2)
    slots, constants = np.zeros((2, *theta.shape)), np.array([optimizer.constants()])
    ones = np.ones(rates.shape)
    tables = Tables(np.zeros(2, np.int64), None, ones, rates, np.zeros(rates.shape), None, ones - 0.03 * 0.2)
    shrink = ops.Shrink(theta, N_DECAYED, tables.shrinkage, tables.clock)
    for expected in peer[1:]:
        grad = gradient(theta)
        backend.execute(shrink)
        backend.execute(ops.Update(optimizer, theta, grad, slots, constants, np.zeros(1), N_DECAYED, tables))
        backend.execute(ops.Advance(tables.clock, 0))
        np.testing.assert_allclose(theta[0], expected, rtol=1e-9, atol=1e-11)


@each_backend
def test_lion_by_hand(backend):
    """Algorithm 2 of Chen et al., 2023."""
    optimizer, theta, m = Lion(0.8, 0.95), random((1, N_PARAMETERS)), 0.0
    path, expected = move(backend, [optimizer], theta, all_rates([optimizer], 0.03)), [theta]
    for _ in range(N_STEPS):
        g = gradient(expected[-1])
        expected.append(expected[-1] - 0.03 * np.sign(0.8 * m + 0.2 * g))
        m = 0.95 * m + 0.05 * g
    np.testing.assert_allclose(path, np.stack(expected), rtol=1e-12, atol=1e-13)


# ---- stacks, types, tables --------------------------------------------------------------


@all_pairs(each_backend, each_dtype, each_group)
@pytest.mark.fast_share(3)
def test_a_stack_moves_as_each_model_alone(optimizers, dtype, backend):
    """Bit for bit: a step takes element by element."""
    theta, rates = random((3, N_PARAMETERS)).astype(dtype), all_rates(optimizers, 0.02) * [1, 2, 0.5]
    together = move(backend, optimizers, theta, rates, alpha=0.3)
    for k, optimizer in enumerate(optimizers):
        alone = move(backend, [optimizer], theta[[k]], rates[:, [k]], alpha=0.3)
        np.testing.assert_array_equal(together[:, [k]], alone)


@each_backend
@each_group
@pytest.mark.fast_share(4)
def test_float32_follows_float64(optimizers, backend):
    theta, rates = random((3, N_PARAMETERS)), all_rates(optimizers, 0.02)
    single = move(backend, optimizers, theta.astype(np.float32), rates)
    np.testing.assert_allclose(single, move(backend, optimizers, theta, rates), rtol=1e-4, atol=1e-5)


def test_adams_small_difference_from_one_is_exact_in_float32():
    complement = np.array(Adam().constants(), np.float32)[3]
    assert complement == pytest.approx(0.001, rel=1e-7)


@given(betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.9999)), start=st.integers(1, 1000))
def test_adams_rates_settle_on_the_learning_rate(betas, start):
    rates = Adam(*betas).rates(0.5, np.array([start, 10**7]))
    assert np.isfinite(rates).all() and (rates > 0).all()
    assert rates[-1] == pytest.approx(0.5)


def test_rates_depend_on_the_number_of_the_step_only():
    steps = np.arange(1, 31)
    for optimizer in (SGD(), Adam(), NAdam(), RMSprop()):
        parts = [optimizer.rates(0.1, steps[a:b]) for a, b in pairwise([0, 7, 8, 30])]
        np.testing.assert_array_equal(np.concatenate(parts), optimizer.rates(0.1, steps))
        changing = optimizer.rates(np.linspace(1, 2, 30), steps)
        np.testing.assert_allclose(changing, np.linspace(1, 2, 30) * optimizer.rates(1.0, steps), rtol=1e-14)


@pytest.mark.parametrize("optimizer", [group[1] for group in SOME], ids=str)
def test_an_optimizer_is_a_value(optimizer):
    assert pickle.loads(pickle.dumps(optimizer)) == optimizer == eval(repr(optimizer), vars(module))
    assert optimizer != type(optimizer)()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(1.1), r"momentum must be a number in \[0, 1\]; got 1.1"),
        (lambda: SGD(nesterovs_momentum=1), "nesterovs_momentum must be True or False; got 1"),
        (lambda: AdamW(1.0), r"beta_1 must be a number in \[0, 1\); got 1.0"),
        (lambda: AMSGrad(beta_2=-0.1), r"beta_2 must be a number in \[0, 1\); got -0.1"),
        (lambda: Adam(epsilon=0), "epsilon must be a number > 0; got 0"),
        (lambda: NAdam(epsilon=0), "epsilon must be a number > 0; got 0"),
        (lambda: NAdam(momentum_decay=-1), "momentum_decay must be a number >= 0; got -1"),
        (lambda: Adagrad(0), "epsilon must be a number > 0; got 0"),
        (lambda: Adadelta(1), r"rho must be a number in \[0, 1\); got 1"),
        (lambda: RMSprop(momentum=2), r"momentum must be a number in \[0, 1\]; got 2"),
        (lambda: Lion(beta_2=1), r"beta_2 must be a number in \[0, 1\); got 1"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(ValueError, match=message):
        make()
