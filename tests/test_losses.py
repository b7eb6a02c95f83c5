"""Losses against closed forms, SciPy, numeric derivatives, PyTorch and scikit-learn's metrics."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, huber, log_softmax, softmax, xlogy
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from sknn import MLPRegressor
from sknn import losses as module
from sknn._backend import operations as ops
from sknn.losses import REGRESSION_LOSSES, BinaryLogLoss, Huber, Quantile, SigmoidSquaredError, SoftmaxLogLoss
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs
from tests.support.differences import slope
from tests.support.losses import LOSSES, losses_without_test, random_targets

each_loss = pytest.mark.parametrize("name", LOSSES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
SHAPE = (3, 6, 4)  # models, rows, outputs


def value_and_gradient(name, z, y):
    """Return the loss of each row and its gradient; z and y stay as they are."""
    dz, before = np.full_like(z, np.nan), (z.copy(), y.copy())
    value = LOSSES[name].value_and_gradient(np, z, y, dz)
    np.testing.assert_array_equal(z, before[0])
    np.testing.assert_array_equal(y, before[1])
    return value, dz


def random_case(name, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    return 2 * rng.standard_normal(shape), random_targets(LOSSES[name], rng, (1, *shape[1:]))


def test_every_loss_is_tested():
    assert losses_without_test() == set()
    assert set(LOSSES) > set(REGRESSION_LOSSES)


# ---- values and gradients ---------------------------------------------------------------


def formula(name, z, y):
    """Return the loss of each row as SciPy's functions say it."""
    if name == "softmax_log_loss":
        codes = np.broadcast_to(y, (*z.shape[:-1], 1))
        return -np.take_along_axis(log_softmax(z, axis=-1), codes, axis=-1)[..., 0]
    if name == "binary_log_loss":
        return (np.logaddexp(0, z) - y * z).sum(axis=-1)
    if name == "poisson":
        return (xlogy(y, y) - y * z - y + np.exp(z)).sum(axis=-1)
    if name == "sigmoid_squared_error":
        return 0.5 * ((expit(z) - np.where(y > 0, 0.9, 0.1)) ** 2).sum(axis=-1)
    if name == "absolute_error":
        return np.abs(z - y).sum(axis=-1)
    if name == "huber":
        return huber(1.0, z - y).sum(axis=-1)
    if name == "quantile":
        return 0.5 * np.abs(z - y).sum(axis=-1)
    return 0.5 * ((z - y) ** 2).mean(axis=-1)


@each_loss
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_value(name, n_outputs):
    z, y = random_case(name, (3, 6, n_outputs))
    value, _ = value_and_gradient(name, z, y)
    np.testing.assert_allclose(value, formula(name, z, y), rtol=1e-13, atol=1e-14)


@each_loss
def test_gradient_by_differences(name):
    z, y = random_case(name)
    direction = np.random.default_rng(1).standard_normal(SHAPE)
    numeric = slope(lambda z: value_and_gradient(name, z, y)[0], z, direction)
    _, gradient = value_and_gradient(name, z, y)
    analytic = (gradient * direction).sum(axis=-1)
    np.testing.assert_allclose(analytic, LOSSES[name].objective_factor(SHAPE[-1]) * numeric, rtol=1e-8, atol=1e-9)


@each_dtype
@each_loss
def test_the_float_type_is_kept(name, dtype):
    z, y = random_case(name)
    value, gradient = value_and_gradient(name, z.astype(dtype), y if y.dtype == np.int64 else y.astype(dtype))
    assert value.dtype == gradient.dtype == dtype


# name: (raw outputs, target, value, gradient), where exponentials have vanished or are all that is left
EXTREME = {
    "sure and right": ("softmax_log_loss", [1000, -1000], [0], 0, [0, 0]),
    "sure and wrong": ("softmax_log_loss", [1000, -1000], [1], 2000, [1, -1]),
    "all as high": ("softmax_log_loss", [1000, 1000], [0], np.log(2), [-0.5, 0.5]),
    "all as low": ("softmax_log_loss", [-1000, -1000], [1], np.log(2), [0.5, -0.5]),
    "one class": ("softmax_log_loss", [1000], [0], 0, [0]),
    "yes for yes": ("binary_log_loss", [1000], [1], 0, [0]),
    "yes for no": ("binary_log_loss", [1000], [0], 1000, [1]),
    "no for no": ("binary_log_loss", [-1000], [0], 0, [0]),
    "no for yes": ("binary_log_loss", [-1000], [1], 1000, [-1]),
    "several": ("binary_log_loss", [1000, -1000, 0], [0, 1, 1], 2000 + np.log(2), [1, -1, -0.5]),
    "flat": ("sigmoid_squared_error", [1000, -1000], [0, 1], 0.81, [0, 0]),
    "far off": ("absolute_error", [1000, -1000, 3], [0, 0, 3], 2000, [1, -1, 0]),
    "off the line": ("huber", [1000, -1000, 0.5], [0, 0, 0], 1999 + 0.125, [1, -1, 0.5]),
    "off the median": ("quantile", [1000, -1000, 3], [0, 0, 3], 1000, [0.5, -0.5, 0]),
    "far": ("squared_error", [1000, -1000], [0, 0], 0.5e6, [1000, -1000]),
    "few of none": ("poisson", [-1000], [0], 0, [0]),
    "few of some": ("poisson", [-1000], [2], 2 * np.log(2) + 2000 - 2, [-2]),
    # above 40 a line goes on: of value exp(40) and slope exp(40) there, without the part of y
    "too many": ("poisson", [1000], [2], np.exp(40) * 961 + 2 * np.log(2) - 2000 - 2, [np.exp(40) - 2]),
}


@all_pairs(each_backend, each_dtype, pytest.mark.parametrize("case", EXTREME))
def test_extreme_outputs(case, dtype, backend):
    name, z, y, value, gradient = EXTREME[case]
    z = np.array([[z]], dtype)
    y = np.array([[y]], np.int64 if name == "softmax_log_loss" else dtype)
    dz, losses, one = np.full_like(z, np.nan), np.zeros((1, 1)), np.ones((1, 1), dtype)
    with np.errstate(over="ignore" if np.isinf(value) else "raise", invalid="raise", divide="raise"):
        backend.execute(ops.LossGradient(LOSSES[name], z, y, one, one, np.zeros(2, np.int64), dz, losses))
    tolerance = 1e3 * np.finfo(dtype).eps  # the value is a difference of numbers of about 1000
    np.testing.assert_allclose(losses[0, 0], value, rtol=1e-6 if dtype == np.float32 else 1e-15, atol=tolerance)
    np.testing.assert_allclose(dz[0, 0], gradient, rtol=1e-6 if dtype == np.float32 else 1e-15)


outputs = arrays(np.float64, (1, 3, 4), elements=st.floats(-1e4, 1e4))


@given(z=outputs, shift=st.floats(-1e4, 1e4))
@settings(max_examples=60)
def test_softmax_loss_sees_differences_only(z, shift):
    y = np.array([[[0], [2], [3]]])
    value, gradient = value_and_gradient("softmax_log_loss", z, y)
    shifted_value, shifted_gradient = value_and_gradient("softmax_log_loss", z + shift, y)
    np.testing.assert_allclose(value, shifted_value, atol=1e-9)
    np.testing.assert_allclose(gradient, shifted_gradient, atol=1e-9)
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(value, formula("softmax_log_loss", z, y), atol=1e-9)


@given(z=outputs, y=arrays(np.float64, (1, 3, 4), elements=st.sampled_from([0.0, 1.0])))
@settings(max_examples=60)
def test_binary_loss_is_symmetric(z, y):
    value, gradient = value_and_gradient("binary_log_loss", z, y)
    mirrored_value, mirrored_gradient = value_and_gradient("binary_log_loss", -z, 1 - y)
    np.testing.assert_allclose(value, mirrored_value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, -mirrored_gradient, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, expit(z) - y, rtol=1e-12, atol=1e-15)


@each_loss
def test_the_best_raw_output_has_no_loss_and_no_slope(name):
    edge = np.log(9)  # of which the logistic function makes 0.9
    best = {
        "softmax_log_loss": [[900.0, 0, 0]],
        "binary_log_loss": [[900.0, -900, 900]],
        "sigmoid_squared_error": [[edge, -edge, edge]],
    }
    yes_no = [[1.0, 0, 1]]
    target = {"softmax_log_loss": [[0]], "binary_log_loss": yes_no, "poisson": [[2.0, 1, 0]]}
    target["sigmoid_squared_error"] = yes_no
    y = np.array(target.get(name, [[0.5, -2, 3]]))
    with np.errstate(divide="ignore"):
        z = np.array(best.get(name, np.log(y) if name == "poisson" else y))
    z = np.maximum(z, -900)
    value, gradient = value_and_gradient(name, z[None], y[None])
    np.testing.assert_allclose(value, 0, atol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


# ---- the mean of a batch ----------------------------------------------------------------


def batch_loss(backend, name, z, y, weight):
    """Return the mean loss of a batch for each model, and its gradient, as a training step has them."""
    dz, losses, scale = np.empty_like(z), np.zeros((1, len(z))), np.full((1, len(z)), 1 / weight.sum())
    backend.execute(ops.LossGradient(LOSSES[name], z, y, weight[None], scale, np.zeros(2, np.int64), dz, losses))
    return losses[0], dz


def metric(name, z, y, weight):
    """Return what scikit-learn's metrics make of one model's predictions."""
    if name == "softmax_log_loss":
        return log_loss(y[:, 0], softmax(z, axis=1), sample_weight=weight, labels=range(z.shape[1]))
    if name == "binary_log_loss":
        return sum(log_loss(y[:, j], expit(z[:, j]), sample_weight=weight, labels=[0, 1]) for j in range(z.shape[1]))
    if name == "poisson":
        columns = range(z.shape[1])
        return sum(mean_poisson_deviance(y[:, j], np.exp(z[:, j]), sample_weight=weight) / 2 for j in columns)
    if name == "sigmoid_squared_error":
        return z.shape[1] / 2 * mean_squared_error(0.1 + 0.8 * y, expit(z), sample_weight=weight)
    if name == "absolute_error":
        return z.shape[1] * mean_absolute_error(y, z, sample_weight=weight)
    if name == "quantile":
        return z.shape[1] * mean_pinball_loss(y, z, sample_weight=weight, alpha=0.5)
    if name == "huber":
        return (weight * huber(1.0, z - y).sum(axis=1)).sum() / weight.sum()
    return mean_squared_error(y, z, sample_weight=weight) / 2


@each_backend
@each_loss
def test_mean_is_scikit_learns_metric(name, backend):
    z, y = random_case(name)
    weight = np.array([1, 0, 2, 0.5, 3, 1])
    losses, _ = batch_loss(backend, name, z, y, weight)
    np.testing.assert_allclose(losses, [metric(name, model, y[0], weight) for model in z], rtol=1e-12)


def peer_loss(name, z, y):
    """Return PyTorch's loss of each row."""
    from torch import nn

    if name == "softmax_log_loss":
        return nn.functional.cross_entropy(z, y[:, 0], reduction="none")
    if name == "binary_log_loss":
        return nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none").sum(dim=1)
    if name == "poisson":
        return nn.functional.poisson_nll_loss(z, y, reduction="none").sum(dim=1)  # without the terms of y alone
    if name == "sigmoid_squared_error":
        return nn.functional.mse_loss(z.sigmoid(), 0.1 + 0.8 * y, reduction="none").sum(dim=1) / 2
    if name in ("absolute_error", "quantile"):
        return nn.functional.l1_loss(z, y, reduction="none").sum(dim=1) / (1 if name == "absolute_error" else 2)
    if name == "huber":
        return nn.functional.huber_loss(z, y, reduction="none").sum(dim=1)
    return nn.functional.mse_loss(z, y, reduction="none").sum(dim=1) / 2


@each_backend
@each_loss
def test_mean_and_gradient_are_pytorchs(name, backend):
    torch = pytest.importorskip("torch")
    z, y = random_case(name, (1, 6, 4))
    weight = np.array([1, 0, 2, 0.5, 3, 1])
    losses, dz = batch_loss(backend, name, z, y, weight)
    tensor = torch.tensor(z[0], requires_grad=True)
    peer = (peer_loss(name, tensor, torch.tensor(y[0])) * torch.tensor(weight)).sum() / weight.sum()
    peer.backward()
    constant = np.average((xlogy(y, y) - y)[0].sum(axis=1), weights=weight) if name == "poisson" else 0
    value = LOSSES[name].objective_factor(4) * losses[0]
    np.testing.assert_allclose(value, peer.item() + constant, rtol=1e-12)
    np.testing.assert_allclose(dz[0], tensor.grad.numpy(), rtol=1e-12, atol=1e-15)


# ---- links ------------------------------------------------------------------------------

LINKS = {
    "softmax": lambda z: softmax(z, axis=-1),
    "logistic": expit,
    "identity": lambda z: z,
    "exp": np.exp,
}


@each_dtype
@each_loss
def test_link(name, dtype):
    z = random_case(name)[0].astype(dtype)
    linked = z.copy()
    LOSSES[name].link(np, linked)
    np.testing.assert_allclose(linked, LINKS[LOSSES[name].link_name](z), rtol=10 * np.finfo(dtype).eps)


@each_dtype
@pytest.mark.parametrize("size", [1e3, 1e30])
@pytest.mark.parametrize("name, limits", [("softmax_log_loss", [0, 1]), ("binary_log_loss", [0, 1])])
def test_links_of_extreme_outputs_are_certain(name, limits, size, dtype):
    z = np.array([[[-size, size]]], dtype)
    LOSSES[name].link(np, z)
    np.testing.assert_array_equal(z[0, 0], limits)


@each_dtype
def test_predicted_counts_are_bounded(dtype):
    z = np.array([[[-1000, 0, 39, 40, 41, 1e30, np.inf, np.nan]]], dtype)
    LOSSES["poisson"].link(np, z)
    expected = [0, 1, np.exp(39), *[np.exp(40)] * 4, np.nan]
    np.testing.assert_allclose(z[0, 0], expected, rtol=40 * np.finfo(dtype).eps)
    assert np.isfinite(np.square(z[0, 0, :-1])).all()


@each_loss
def test_a_loss_is_a_value(name):
    loss = LOSSES[name]
    assert pickle.loads(pickle.dumps(loss)) == loss == eval(repr(loss), vars(module))
    assert hash(loss) == hash(pickle.loads(pickle.dumps(loss)))


# ---- fields -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Huber(0.3), Huber(5.0), Quantile(0.9), Quantile(0.05)], ids=str)
def test_fields(loss):
    z, y = random_case("huber")
    dz = np.empty_like(z)
    value = loss.value_and_gradient(np, z, y, dz)
    if isinstance(loss, Huber):
        expected = huber(loss.delta, z - y).sum(axis=-1)
    else:
        expected = [
            [4 * mean_pinball_loss(y[0, i], model[i], alpha=loss.quantile) for i in range(SHAPE[1])] for model in z
        ]
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    direction = np.random.default_rng(1).standard_normal(SHAPE)
    numeric = slope(lambda z: loss.value_and_gradient(np, z, y, np.empty_like(z)), z, direction, step=1e-6)
    np.testing.assert_allclose((dz * direction).sum(axis=-1), numeric, rtol=1e-6, atol=1e-8)


@all_pairs(
    each_backend,
    each_dtype,
    pytest.mark.parametrize("smoothing", [0.1, 0.7]),
    pytest.mark.parametrize("name", ["softmax_log_loss", "binary_log_loss"]),
)
def test_label_smoothing_is_a_mixture_of_targets(name, smoothing, dtype, backend):
    z, y = random_case(name)
    z = z.astype(dtype)
    y = y if y.dtype == np.int64 else y.astype(dtype)
    one, clock = np.ones((1, SHAPE[1]), dtype), np.zeros(2, np.int64)
    dz, losses, scale = np.empty_like(z), np.zeros((1, 3)), np.ones((1, 3), dtype)
    smoothed = type(LOSSES[name])(label_smoothing=smoothing)
    backend.execute(ops.LossGradient(smoothed, z, y, one, scale, clock, dz, losses))
    if name == "softmax_log_loss":
        targets = [np.full_like(y, k) for k in range(4)]
        shares = [smoothing / 4] * 4
    else:
        targets, shares = [np.zeros_like(y), np.ones_like(y)], [smoothing / 2] * 2
    value, gradient = np.zeros(3), np.zeros(SHAPE)
    for share, target in zip([1 - smoothing, *shares], [y, *targets], strict=True):
        part, slopes = value_and_gradient(name, z.astype(float), target)
        value, gradient = value + share * part.sum(axis=1), gradient + share * slopes
    np.testing.assert_allclose(losses[0], value, rtol=1e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_allclose(dz, gradient, atol=1e-6 if dtype == np.float32 else 1e-13)


def test_label_smoothing_is_pytorchs():
    torch = pytest.importorskip("torch")
    z, y = random_case("softmax_log_loss", (1, 6, 4))
    dz = np.empty_like(z)
    value = SoftmaxLogLoss(0.2).value_and_gradient(np, z, y, dz)
    tensor = torch.tensor(z[0], requires_grad=True)
    peer = torch.nn.functional.cross_entropy(tensor, torch.tensor(y[0, :, 0]), label_smoothing=0.2, reduction="none")
    peer.sum().backward()
    np.testing.assert_allclose(value[0], peer.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(dz[0], tensor.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Huber(0), "delta must be a number > 0; got 0"),
        (lambda: Quantile(1.0), r"quantile must be a number in \(0, 1\); got 1.0"),
        (lambda: SoftmaxLogLoss(1.0), r"label_smoothing must be a number in \[0, 1\); got 1.0"),
        (lambda: BinaryLogLoss(-0.1), r"label_smoothing must be a number in \[0, 1\); got -0.1"),
        (lambda: SigmoidSquaredError(-0.1), r"low must be a number in \[0, 1\]; got -0.1"),
        (lambda: SigmoidSquaredError(0.9, 0.1), r"high must be a number > low=0.9; got 0.1"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.filterwarnings("ignore:.*hasn't converged")
@pytest.mark.parametrize("loss, expected", [(Quantile(0.8), 0.8), ("quantile", 0.5), ("absolute_error", 0.5)])
def test_a_constant_is_the_quantile(loss, expected):
    """What a model that sees nothing learns from numbers 0, 1, ..., 100."""
    y = np.arange(101.0)
    model = MLPRegressor(loss, (), learning_rate_init=0.5, alpha=0, max_iter=1000, tol=0, random_state=0)
    model.fit(np.zeros((101, 1)), y)
    assert model.predict([[0.0]])[0] == pytest.approx(100 * expected, abs=1.5)
