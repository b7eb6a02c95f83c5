"""Norms: gradients by differences, PyTorch and formulas, fused kernels, what must hold in whole fits."""

import pickle
import re
import warnings
from dataclasses import replace
from functools import partial

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import operations as ops
from sknn._backend.operations import DropoutNoise, RunningMoments
from sknn._core.data import Problem
from sknn._core.epoch import batch_lengths
from sknn._core.passes import Model, raw_outputs
from sknn._core.trainer import Trainer
from sknn.activations import ACTIVATIONS
from sknn.normalization import NORMS, BatchNorm, BatchRenorm, GroupNorm, InstanceNorm, LayerNorm, Norm, WeightNorm
from sknn.optimizers import SGD
from tests.support.backends import BACKENDS, rows_on, set_chunk_elements
from tests.support.classes import all_subclasses
from tests.support.designs import all_pairs, shared_out
from tests.support.differences import assert_gradient
from tests.support.networks import make_case, make_network
from tests.support.scenarios import make_data, make_options, make_state

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_position = pytest.mark.parametrize("position", ["pre", "post"])
X, y = load_iris(return_X_y=True)
X = scale(X)
VIRTUAL = BatchNorm(virtual_batch_size=3)
CLIPPED = BatchRenorm(r_max=1.01, d_max=0.01, start_step=0, r_end=0, d_end=0)  # r and d are at their bounds
FREE = BatchRenorm(momentum=0.2, r_max=50.0, d_max=50.0, start_step=0, r_end=0, d_end=0)
UNIT_NORMS = {
    "batch": BatchNorm(eps=1e-3),
    "virtual": VIRTUAL,
    "renorm": CLIPPED,
    "layer": LayerNorm(),
    "group": GroupNorm(2),
    "instance": InstanceNorm(2),
}


def test_every_norm_is_tested():
    norms = all_subclasses(Norm)
    bases = {base for norm in norms for base in norm.__mro__[1:]}
    assert {type(norm) for norm in UNIT_NORMS.values()} | {WeightNorm} == norms - bases


# ---- gradients --------------------------------------------------------------------------


def normed_case(backend, norms, activation="tanh", form=np.asarray, n_models=2, hidden=(6, 4)):
    """Return a pass over a stack with norms, and its parameters."""
    objective, _ = make_case(backend, hidden, activation, "softmax_log_loss", n_models, form)
    objective.network = network = replace(objective.network, norms=norms)
    rng = np.random.default_rng(4)
    objective.statistics = network.initial_statistics(n_models, float)
    draws = {"means": (3, 5), "variances": (10, 20), "updates": (10, 11)}  # far from those of the rows
    for kept in network.statistics_layout.views(objective.statistics):
        for kind, view in kept.items():
            view[...] = rng.uniform(*draws[kind], size=view.shape)
    return objective, rng.normal(scale=0.5, size=(n_models, network.layout.size))


def held(objective, theta):
    """Return the objective with biases that are not learnt held, since a norm without a shift has them at 0."""
    network, layout = objective.network, objective.network.layout
    still = np.zeros_like(theta, bool)
    for layer, views in zip(network.layers, layout.views(still), strict=True):
        if getattr(layer.norm, "position", None) == "pre" and not layer.norm.center:
            views["biases"][...] = True
    return lambda at: objective(np.where(still, theta, at))


@all_pairs(
    each_backend,
    each_position,
    pytest.mark.parametrize("learnt", [(True, True), (True, False), (False, True), (False, False)], ids=str),
    pytest.mark.parametrize("norm", UNIT_NORMS.values(), ids=UNIT_NORMS),
)
@pytest.mark.fast_share(5)
def test_gradient_by_differences(norm, learnt, position, backend):
    """Rows are weighted, one of them by 0; the gradient of a bias behind a norm without a shift is 0."""
    norm = replace(norm, center=learnt[0], scale=learnt[1], position=position)
    objective, theta = normed_case(backend, (norm, norm))
    assert_gradient(held(objective, theta), theta)


@all_pairs(
    each_backend,
    each_position,
    pytest.mark.parametrize("norm", [BatchNorm(), BatchNorm(scale=False), BatchNorm(center=False), CLIPPED], ids=str),
)
def test_gradient_with_frozen_statistics(norm, position, backend):
    objective, theta = normed_case(backend, (replace(norm, position=position),) * 2, "gelu")
    moving = objective(theta)[0]
    objective.frozen = True
    assert (np.abs(objective(theta)[0] - moving) > 1e-3).all()
    assert_gradient(held(objective, theta), theta)


@each_backend
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("data_dependent", [True, False])
def test_gradient_of_weight_norm(data_dependent, form, backend):
    norm = WeightNorm(data_dependent)
    assert_gradient(*normed_case(backend, (norm, norm), "gelu", form))


@all_pairs(
    each_backend,
    pytest.mark.parametrize(
        "norms",
        [
            (VIRTUAL, LayerNorm(position="post")),
            (BatchNorm(position="post"), None),
            (WeightNorm(), CLIPPED),
            (GroupNorm(3, center=False), WeightNorm()),
            (None, InstanceNorm(2, position="post", scale=False)),
        ],
        ids=str,
    ),
    pytest.mark.parametrize("dropped", [(), (1, 2)], ids=str),
)
def test_gradient_of_networks_with_a_norm_of_its_own_for_each_layer(dropped, norms, backend):
    objective, theta = normed_case(backend, norms, ("silu", "tanh"), n_models=3)
    keys = np.random.RandomState(0).randint(2**32, size=(3, 2), dtype=np.uint32)
    objective.noise = DropoutNoise(np.array([[0, 0.3, 0.5], [0, 0.0, 0.2], [0, 0.6, 0.0]]), keys, np.array([5, 0, 7]))
    objective.dropped = dropped
    assert_gradient(held(objective, theta), theta)


@all_pairs(
    each_backend, each_position, pytest.mark.parametrize("norm", [BatchNorm(), LayerNorm(), GroupNorm(2)], ids=str)
)
def test_gradient_beside_what_activations_learn(norm, position, backend):
    """A norm before maxout is for all of its pieces."""
    norm = replace(norm, position=position)
    objective, theta = normed_case(backend, (norm, norm), ("maxout", "prelu"))
    assert_gradient(objective, theta)
    gains = objective.network.layout.of_kind("gains", theta)
    assert [gain.shape[2] for gain in gains] == [12 if position == "pre" else 6, 4]


# ---- PyTorch ----------------------------------------------------------------------------


def torch_renorm(torch, norm, z, gain, shift, running):
    """Return batch renorm of z with arXiv:1702.03275's r and d, which the gradient does not see."""
    mean, std = z.mean(0), torch.sqrt(z.var(0, unbiased=False) + norm.eps)
    old_mean, old_std = (torch.tensor(part) for part in (running["means"], np.sqrt(running["variances"] + norm.eps)))
    r = torch.clamp(std.detach() / old_std, 1 / norm.r_max, norm.r_max)
    d = torch.clamp((mean.detach() - old_mean) / old_std, -norm.d_max, norm.d_max)
    return ((z - mean) / std * r + d) * gain + shift


def torch_unit_norm(torch, norm, z, gain, shift, running):
    """Return what PyTorch's module for ``norm`` makes of z."""
    rows, units = z.shape
    options = {"eps": norm.eps, "affine": False, "dtype": z.dtype}
    if isinstance(norm, BatchRenorm):
        return torch_renorm(torch, norm, z, gain, shift, running)
    if isinstance(norm, BatchNorm):
        standard = torch.nn.BatchNorm1d(units, **options)(z)
    elif isinstance(norm, LayerNorm):
        standard = torch.nn.LayerNorm(units, norm.eps, elementwise_affine=False)(z)
    elif isinstance(norm, GroupNorm):
        standard = torch.nn.GroupNorm(norm.groups, units, **options)(z)
    else:
        module = torch.nn.InstanceNorm1d(norm.channels, **options)
        standard = module(z.reshape(rows, norm.channels, -1)).reshape(rows, units)
    return standard * gain + shift


def torch_weight(torch, layer, own):
    """Return the weights that a layer uses, and the parameters they are made of, by kind."""
    v = torch.tensor(own["weights"][0], requires_grad=True)
    if not isinstance(layer.norm, WeightNorm):
        return v, {"weights": v}
    linear = torch.nn.Linear(layer.fan_in, layer.units, bias=False, dtype=v.dtype)
    torch.nn.utils.parametrizations.weight_norm(linear)
    originals = linear.parametrizations.weight
    with torch.no_grad():
        originals.original0.copy_(torch.tensor(own["gains"][0].T))
        originals.original1.copy_(v.T)
    return linear.weight.T, {"weights": originals.original1, "gains": originals.original0}


def torch_pass(torch, objective, theta, rows):
    """Return raw outputs by PyTorch, and the tensors of all parameters by kind, one dict a layer."""
    network, leaves, hidden = objective.network, [], rows
    functions = {ACTIVATIONS["tanh"]: torch.tanh, ACTIVATIONS["gelu"]: torch.nn.functional.gelu}
    statistics = network.statistics_layout.views(objective.statistics)
    for i, (layer, own) in enumerate(zip(network.layers, network.layout.views(theta), strict=True)):
        W, leaf = torch_weight(torch, layer, own)
        others = [kind for kind in own if kind not in leaf]
        leaf |= {kind: torch.tensor(own[kind][0, 0], requires_grad=True) for kind in others}
        leaves.append(leaf)
        running = {kind: part[0, 0] for kind, part in statistics[i].items()}
        gain, position = leaf.get("gains", 1.0), getattr(layer.norm, "position", None)
        z = hidden @ W
        if position == "pre":
            z = torch_unit_norm(torch, layer.norm, z, gain, leaf["biases"], running)
        else:
            z = z + leaf["biases"]
        hidden = functions.get(layer.activation, lambda z: z)(z)
        if position == "post":
            hidden = torch_unit_norm(torch, layer.norm, hidden, gain, leaf.get("shifts", 0.0), running)
    return hidden, leaves


@all_pairs(
    each_backend,
    each_position,
    pytest.mark.parametrize(
        "norm", [*UNIT_NORMS.values(), FREE, WeightNorm()], ids=[*UNIT_NORMS, "free renorm", "weight"]
    ),
)
def test_outputs_and_all_gradients_are_pytorchs(norm, position, backend):
    torch = pytest.importorskip("torch")
    if norm is VIRTUAL:
        norm = replace(norm, virtual_batch_size=7, scale=False)  # all of the batch
    norm = norm if isinstance(norm, WeightNorm) else replace(norm, position=position)
    objective, theta = normed_case(backend, (norm, norm), ("tanh", "gelu"), n_models=1)
    objective.weight, objective.alpha = np.ones(7), np.zeros(1)
    _, gradient = objective(theta)
    stages, rows = objective.stages, torch.tensor(objective.X, requires_grad=True)
    outputs, leaves = torch_pass(torch, objective, theta, rows)
    torch.nn.functional.cross_entropy(outputs, torch.tensor(objective.y[:, 0])).backward()

    first = next(stage for stage in stages.stages if hasattr(stage, "batch"))
    np.testing.assert_allclose(first.out.gradient[0] @ first.W[0].T, rows.grad.numpy(), rtol=1e-10, atol=1e-12)
    for mine, leaf in zip(objective.network.layout.views(gradient), leaves, strict=True):
        assert mine.keys() == leaf.keys()
        for kind, parameter in leaf.items():
            theirs = parameter.grad.numpy()
            theirs = theirs.T if theirs.ndim == 2 and isinstance(norm, WeightNorm) and "gains" in leaf else theirs
            np.testing.assert_allclose(mine[kind][0].reshape(theirs.shape), theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(passed_outputs(objective, theta), outputs.detach().numpy(), rtol=1e-11, atol=1e-13)


def passed_outputs(objective, theta):
    """Return the raw outputs of the first model in training."""
    objective(theta)
    objective.moved[...] = objective.statistics
    return objective.stages.run()[0]


@each_backend
@pytest.mark.parametrize("momentum", [0.1, 0.4])
def test_running_statistics_and_predictions_are_pytorchs(momentum, backend):
    """After 15 batches of 10 and 7 rows: in PyTorch, momentum must be set for each, max(momentum, 1 / t)."""
    torch = pytest.importorskip("torch")
    data, network = make_data(), replace(make_network((6, 5, 3), "tanh"), norms=(BatchNorm(momentum),))
    options = make_options((SGD(0.0),), 0.0, 0.0, shuffle=False)
    state = make_state(network, options, 47, [np.random.RandomState(0)])
    rng = np.random.default_rng(0)
    state.theta[...] = rng.standard_normal(state.theta.shape)
    trainer = Trainer(Problem(backend, network, options, data.on(backend)), state)
    own = network.layout.views(state.theta)
    module = torch.nn.BatchNorm1d(5, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(own[0]["gains"][0, 0]))
        module.bias.copy_(torch.tensor(own[0]["biases"][0, 0]))
    inputs = torch.tensor(data.X @ own[0]["weights"][0])
    for epoch in range(3):
        trainer.train_epoch()
        for batch, start in enumerate(range(0, 47, 10)):
            module.momentum = max(momentum, 1 / (5 * epoch + batch + 1))
            module(inputs[start : start + 10])
    kept = network.statistics_layout.views(trainer.state.statistics)
    np.testing.assert_allclose(kept[0]["means"][0, 0], module.running_mean.numpy(), rtol=1e-11)
    np.testing.assert_allclose(kept[0]["variances"][0, 0], module.running_var.numpy(), rtol=1e-11)
    hidden = torch.tanh(module.eval()(inputs)).detach().numpy()
    expected = hidden @ own[1]["weights"][0] + own[1]["biases"][0]
    found = raw_outputs(Model(backend, network, own, kept), rows_on(backend, data.X))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# ---- kernels ----------------------------------------------------------------------------


def kernel_case(dtype, n_models, shared, units=6):
    rng = np.random.default_rng(0)
    n_rows = 13
    weight = rng.uniform(0.2, 2, (1 if shared else n_models, n_rows))
    weight[:, [1, 5, 6]] = 0  # the rows of the second part are without weight
    arrays = {
        "x": rng.normal(2, 3, (n_models, n_rows, units)),
        "d": rng.standard_normal((n_models, n_rows, units)),
        "gain": rng.uniform(0.5, 2, (n_models, 1, units)),
        "weight": weight,
    }
    return {name: array.astype(dtype) for name, array in arrays.items()}


def every(kernel, arguments):
    """Call a kernel of every backend, each on copies of its arguments; return what became of these."""
    found = []
    for backend in BACKENDS.values():
        own = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
        backend.execute(kernel(**own))
        found.append({name: value for name, value in own.items() if isinstance(value, np.ndarray)})
    return found


def assert_kernels_agree(kernel, arguments, out=()):
    """All backends write the same, to rounding, and nothing else; return it."""
    reference, *others = every(kernel, arguments)
    dtype = arguments["x"].dtype
    for fused in others:
        for name, expected in reference.items():
            size = np.nanmax(np.abs(expected), initial=1)
            tolerance = 100 * np.finfo(dtype).eps
            np.testing.assert_allclose(fused[name], expected, rtol=tolerance, atol=tolerance * size, err_msg=name)
            assert fused[name].dtype == arguments[name].dtype
            changed = not np.array_equal(fused[name], arguments[name], equal_nan=True)
            assert changed == (name in out), name
    return others[0]


def unset(shape, dtype):
    return np.full(shape, -777, dtype)


@all_pairs(
    [each_dtype, pytest.mark.parametrize("n_models", [1, 3])],
    pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"]),
    pytest.mark.parametrize("bounds", [[0, 13], [0, 5, 7, 13], [0, 2, 5, 13]], ids=str),
    pytest.mark.parametrize("poison", [False, True], ids=["finite", "nan"]),
)
def test_batch_kernels_are_their_definitions(dtype, n_models, shared, bounds, poison):
    case, bounds = kernel_case(dtype, n_models, shared), np.array(bounds)
    parts = n_models, len(bounds) - 1, 6
    if poison:
        case["x"][-1, 9, 2] = np.nan
    moments = {name: unset(parts, dtype) for name in ("mean", "variance", "inverse")}
    asked = {"x": case["x"], "weight": case["weight"], "bounds": bounds, "eps": 1e-3, **moments}
    moments = assert_kernels_agree(ops.BatchMoments, asked, out=moments)
    kinds = {name: moments[name] for name in ("mean", "inverse")}
    asked = {"x": case["x"], **kinds, "gain": case["gain"], "bounds": bounds, "y": unset(case["x"].shape, dtype)}
    done = assert_kernels_agree(ops.Standardize, asked, out=("x", "y"))
    standard = {"d": case["d"], "x": done["x"], "inverse": moments["inverse"], "gain": case["gain"]}
    standard["d_gain"] = unset((n_models, 1, 6), dtype)
    back = assert_kernels_agree(
        ops.StandardizeBackward, {**standard, "weight": case["weight"], "bounds": bounds}, out=("d", "d_gain")
    )
    fixed = {**standard, "inverse": moments["inverse"][:, :1]}
    ahead = assert_kernels_agree(ops.ScaleBackward, fixed, out=("d", "d_gain"))
    touched = np.zeros(case["x"].shape, bool)
    touched[-1, bounds[np.searchsorted(bounds, 9, "right") - 1] :, 2] = poison
    for array in (done["x"], done["y"], back["d"]):
        np.testing.assert_array_equal(np.isnan(array), touched)
    np.testing.assert_array_equal(np.isnan(ahead["d_gain"]), np.isnan(back["d_gain"]))
    assert np.isnan(back["d_gain"]).sum() == poison


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("n_models", [1, 3]),
    pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"]),
    pytest.mark.parametrize("momentum", [0.01, 0.5]),
)
def test_fused_running_statistics_are_their_definition(momentum, shared, n_models, dtype):
    case, bounds, found = kernel_case(dtype, n_models, shared), np.array([0, 5, 7, 13]), []
    case["weight"][0, 5:7] = 0
    mean, variance = np.random.default_rng(1).random((2, n_models, 3, 6)).astype(dtype)
    for backend in BACKENDS.values():
        means, variances = np.ones((n_models, 1, 6), dtype), np.full((n_models, 1, 6), 2, dtype)
        kept = RunningMoments(means, variances, np.full((n_models, 1, 1), 3, dtype))
        backend.execute(ops.TrackMoments(mean, variance, case["weight"], bounds, momentum, kept))
        found.append(kept)
    for kind, expected in found[0]._asdict().items():
        for other in found[1:]:
            np.testing.assert_allclose(getattr(other, kind), expected, rtol=10 * np.finfo(dtype).eps)
    assert (found[0].updates[0] == 5).all()


def test_weights_of_zero_have_no_direction_and_stay_finite():
    model = MLPClassifier((8,), norm="weight", init="zeros", max_iter=5, random_state=0).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    np.testing.assert_array_equal(model.coefs_[0], 0)


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("n_models", [1, 3]),
    pytest.mark.parametrize("groups", [1, 2, 3]),
    pytest.mark.parametrize("poison", [False, True], ids=["finite", "nan"]),
)
def test_group_kernels_are_their_definitions(dtype, n_models, groups, poison):
    case = kernel_case(dtype, n_models, True)
    if poison:
        case["x"][-1, 9, 2] = np.nan
    inverse = unset((n_models, 13, groups), dtype)
    asked = {"x": case["x"], "eps": 1e-3, "inverse": inverse, "gain": case["gain"]}
    asked["y"] = unset(case["x"].shape, dtype)
    done = assert_kernels_agree(ops.StandardizeGroups, asked, out=("x", "y", "inverse"))
    asked = {"d": case["d"], "x": done["x"], "inverse": done["inverse"], "gain": case["gain"]}
    back = assert_kernels_agree(
        ops.StandardizeGroupsBackward, {**asked, "d_gain": unset((n_models, 1, 6), dtype)}, out=("d", "d_gain")
    )
    size, touched = 6 // groups, np.zeros(case["x"].shape, bool)
    touched[-1, 9, 2 // size * size : (2 // size + 1) * size] = poison
    for array in (done["x"], done["y"], back["d"]):
        np.testing.assert_array_equal(np.isnan(array), touched)


# ---- what must hold of layers -----------------------------------------------------------


def layer_outputs(backend, norm, W, rows, weight=None, gain=None, shift=None):
    """Return what a norm before the activation makes of ``rows @ W`` in training."""
    network = replace(make_network((*W.shape, 2), "identity"), norms=(norm,))
    objective, _ = normed_case(backend, (norm,), "identity", n_models=1, hidden=(W.shape[1],))
    objective.network, objective.X, objective.statistics = network, rows, None
    objective.weight, objective.alpha = np.ones(len(rows)) if weight is None else weight, np.zeros(1)
    objective.y = np.zeros((len(rows), 1), int)
    theta = np.zeros((1, network.layout.size))
    first, last = network.layout.views(theta)
    first["weights"][0], first["gains"][...] = W, 1 if gain is None else gain
    first["biases"][...] = 0 if shift is None else shift
    objective(theta)
    objective.stages.run()
    return objective.stages.stages[-2].source.value[0]


def draw_layer(n_rows=12, units=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1, 2, (n_rows, 3)), rng.standard_normal((3, units))


@each_backend
@pytest.mark.parametrize("norm", [BatchNorm(eps=1e-14), LayerNorm(eps=1e-14), GroupNorm(2, eps=1e-14)], ids=str)
def test_the_size_of_weights_does_not_matter(norm, backend):
    rows, W = draw_layer()
    outputs, larger = (layer_outputs(backend, norm, factor * W, rows) for factor in (1, 7.3))
    np.testing.assert_allclose(larger, outputs, rtol=1e-11, atol=1e-11)
    assert np.abs(layer_outputs(backend, replace(norm, eps=0.1), 7.3 * W, rows) - outputs).max() > 1e-4


@each_backend
def test_a_norm_can_learn_to_do_nothing(backend):
    rows, W = draw_layer()
    z = rows @ W
    gain, shift = np.sqrt(z.var(axis=0) + 1e-5), z.mean(axis=0)
    np.testing.assert_allclose(layer_outputs(backend, BatchNorm(), W, rows, gain=gain, shift=shift), z, rtol=1e-12)


@each_backend
def test_parts_of_a_batch_are_normalised_on_their_own(backend):
    rows, W = draw_layer(n_rows=11)
    weight = np.random.default_rng(1).uniform(0, 2, 11)
    norm = BatchNorm(virtual_batch_size=4)
    np.testing.assert_array_equal(norm.bounds(11), [0, 3, 7, 11])
    parts = [
        layer_outputs(backend, BatchNorm(), W, rows[part], weight[part])
        for part in (slice(0, 3), slice(3, 7), slice(7, 11))
    ]
    outputs = layer_outputs(backend, norm, W, rows, weight)
    np.testing.assert_allclose(outputs, np.concatenate(parts), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_parts_are_of_nearly_equal_size_and_of_two_rows_at_least(size):
    for n_rows in range(2, 40):
        bounds = BatchNorm(virtual_batch_size=size).bounds(n_rows)
        lengths = np.diff(bounds)
        assert bounds[0] == 0 and bounds[-1] == n_rows
        assert lengths.min() >= 2 and np.ptp(lengths) <= 1
        assert lengths.max() <= max(size, 3)  # three rows cannot be cut


@each_backend
def test_moments_of_weighted_rows(backend):
    rows, W = draw_layer()
    weight = np.random.default_rng(1).uniform(0, 2, 12)
    z = rows @ W
    mean = np.average(z, axis=0, weights=weight)
    variance = np.average((z - mean) ** 2, axis=0, weights=weight)
    expected = (z - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer_outputs(backend, BatchNorm(), W, rows, weight), expected, rtol=1e-11)


@each_backend
@pytest.mark.parametrize("norm", [BatchNorm(), CLIPPED, LayerNorm(), GroupNorm(2), InstanceNorm(2)], ids=str)
def test_what_does_not_vary_becomes_zero(norm, backend):
    rows = np.full((6, 3), 2.0)
    W = np.full((3, 4), 0.5)
    np.testing.assert_array_equal(layer_outputs(backend, norm, W, rows), np.zeros((6, 4)))


@each_backend
@pytest.mark.parametrize("size", [None, 2], ids=str)
def test_running_variance_is_unbiased(size, backend):
    """Of 1, 2, 3, 4: 5 / 3; the mean of that of 1, 2 and that of 3, 4: 1 / 2."""
    norm = BatchNorm(virtual_batch_size=size)
    network = replace(make_network((1, 1, 2), "identity"), norms=(norm,))
    theta, kept = np.ones((1, network.layout.size)), network.initial_statistics(1, float)
    rows = np.array([[1.0], [2], [3], [4]])
    objective, _ = normed_case(backend, (norm,), "identity", n_models=1, hidden=(1,))
    objective.network, objective.X, objective.y = network, rows, np.zeros((4, 1), int)
    objective.weight, objective.alpha, objective.statistics = np.ones(4), np.zeros(1), kept
    objective(theta)
    found = network.statistics_layout.views(objective.moved)[0]
    assert found["means"].item() == pytest.approx(2.5, rel=1e-14)
    assert found["variances"].item() == pytest.approx(5 / 3 if size is None else 0.5, rel=1e-14)
    assert found["updates"].item() == (1 if size is None else 2)


@each_backend
def test_running_statistics_count_weights_as_rows(backend):
    """Parts of weights 2.5, 0 and 1.5: of less than 2, the variance stays biased; of none, nothing is learnt."""
    x = np.arange(6.0).reshape(1, 6, 1) ** 2
    weight, bounds = np.array([[1, 1.5, 0, 0, 1, 0.5]]), np.array([0, 2, 4, 6])
    mean, variance, inverse = np.empty((3, 1, 3, 1))
    backend.execute(ops.BatchMoments(x, weight, bounds, 1e-5, mean, variance, inverse))
    kept = RunningMoments(np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.zeros((1, 1, 1)))
    backend.execute(ops.TrackMoments(mean, variance, weight, bounds, 0.1, kept))
    first, last = 0.4 * 0.6 * 2.5 / 1.5, 81 * 1 / 3 * 2 / 3  # of 0, 1 and of 16, 25
    assert kept.means.item() == pytest.approx((0.6 + 19) / 2, rel=1e-14)
    assert kept.variances.item() == pytest.approx((first + last) / 2, rel=1e-14)
    assert kept.updates.item() == 2


@each_backend
def test_a_correction_towards_running_statistics_gives_what_they_give(backend):
    """Within its bounds, batch renorm makes of a training batch what it makes of those rows in prediction."""
    objective, theta = normed_case(backend, (replace(FREE, r_max=1e6, d_max=1e6),) * 2)
    trained = passed_outputs(objective, theta)
    objective.frozen = True
    np.testing.assert_allclose(trained, passed_outputs(objective, theta), rtol=1e-10)


@each_backend
def test_bounds_of_the_correction_grow_by_the_step(backend):
    norm, one = BatchRenorm(r_max=3, d_max=5, start_step=10, r_end=30, d_end=20), np.ones((1, 1, 1))
    for step, r_max, d_max in [(0, 1, 0), (10, 1, 0), (15, 1.5, 2.5), (20, 2, 5), (30, 3, 5), (99, 3, 5)]:
        kept = RunningMoments(0 * one, one, step * one)
        for sign in (1, -1):
            r, d = np.empty((1, 1, 1)), np.empty((1, 1, 1))
            backend.execute(ops.Renorm(sign * 1e3 * one, 10.0 ** (-3 * sign) * one, kept, norm, r, d))
            assert r.item() == pytest.approx(float(r_max) ** sign) and d.item() == pytest.approx(sign * d_max)


# ---- estimators -------------------------------------------------------------------------

EVERY = {
    "batch": "batch",
    "exact": BatchNorm(statistics="exact", position="post"),
    "running": BatchNorm(statistics="ema"),
    "virtual": BatchNorm(virtual_batch_size=8, center=False),
    "renorm": BatchRenorm(start_step=2, r_end=8, d_end=8, momentum=0.3),
    "layer": "layer",
    "weight": "weight",
    "group": GroupNorm(2, position="post"),
    "instance": InstanceNorm(3, scale=False),
    "mixed": [BatchNorm(), LayerNorm(position="post")],
}
each_norm = pytest.mark.parametrize("norm", EVERY.values(), ids=EVERY)
SHOWN = ("coefs_", "intercepts_", "norm_gains_", "norm_shifts_", "norm_means_", "norm_variances_")


def fitted(rows=X, labels=y, estimator=MLPClassifier, sample_weight=None, **parameters):
    defaults = {"hidden_layer_sizes": (12, 6), "max_iter": 6, "random_state": 0, "tol": 0, "batch_size": 40}
    return estimator(**{**defaults, **parameters}).fit(rows, labels, sample_weight)


def arrays(model):
    """Return all fitted arrays by attribute and layer."""
    return {(name, i): array for name in SHOWN for i, array in enumerate(getattr(model, name, ())) if array is not None}


def assert_same(ours, theirs, rtol=0.0, names=SHOWN):
    ours, theirs = arrays(ours), arrays(theirs)
    assert ours.keys() == theirs.keys()
    for key in theirs:
        if key[0] in names:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=rtol, atol=rtol, err_msg=str(key))


def copied(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("norm", ["batch", BatchNorm(position="post", statistics="exact")], ids=str)
@pytest.mark.parametrize("factor", [2, 0])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_weight_counts_rows(solver, factor, norm):
    """Through a whole fit of one batch: 2 is the row twice, 0 is no row."""
    weight = np.ones(150)
    weight[10:60] = factor
    options = {"batch_size": "auto", "alpha": 0.1, "norm": norm, "activation": "tanh", "max_iter": 8, "shuffle": False}
    rows = np.repeat(np.arange(150), weight.astype(int))
    weighted = fitted(sample_weight=weight, solver=solver, **options)
    counted = fitted(X[rows], y[rows], solver=solver, **options)
    assert_same(weighted, counted, rtol=1e-7 if solver == "adam" else 1e-5)
    np.testing.assert_allclose(weighted.predict_proba(X), counted.predict_proba(X), rtol=1e-6)
    assert np.abs(weighted.coefs_[0] - fitted(solver=solver, **options).coefs_[0]).max() > 1e-4


def by_hand(model, norms, rows, weight=None):
    """Return mean and unbiased variance of what reaches each batch norm, layer by layer in NumPy, and raw outputs."""
    weight = np.ones(rows.shape[0]) if weight is None else weight
    hidden, found = rows, []

    def standard(i, z):
        mean = weight @ z / weight.sum()
        variance = weight @ (z - mean) ** 2 / (weight.sum() - 1)
        found.append((mean, variance))
        return (z - mean) / np.sqrt(variance + norms[i].eps) * model.norm_gains_[i]

    for i, norm in enumerate(norms):
        z = hidden @ model.coefs_[i]
        z = standard(i, z) + model.intercepts_[i] if norm.position == "pre" else z + model.intercepts_[i]
        hidden = np.tanh(z)
        if norm.position == "post":
            hidden = standard(i, hidden) + model.norm_shifts_[i]
    return found, hidden @ model.coefs_[-1] + model.intercepts_[-1]


def assert_exact(model, norms, rows, weight=None, rtol=1e-9):
    found, outputs = by_hand(model, norms, rows, weight)
    for mean, variance, (expected_mean, expected_variance) in zip(
        model.norm_means_[:-1], model.norm_variances_[:-1], found, strict=True
    ):
        np.testing.assert_allclose(mean, expected_mean, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(variance, expected_variance, rtol=rtol)
    return outputs


EXACT = BatchNorm(), BatchNorm(position="post")
RUNNING = BatchNorm(statistics="ema"), BatchNorm(statistics="ema", position="post")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("chunk", [None, 12 * 23], ids=["whole", "chunks of 23 rows"])
def test_exact_statistics_are_those_of_all_rows(chunk, form, weighted, monkeypatch):
    if chunk:
        set_chunk_elements(monkeypatch, chunk)
    weight = np.random.default_rng(0).uniform(0, 3, 150) * (np.arange(150) % 5 > 0) if weighted else None
    model = fitted(form(X), norm=EXACT, activation="tanh", sample_weight=weight)
    outputs = assert_exact(model, EXACT, X, weight)
    np.testing.assert_array_equal(model.predict(form(X)), outputs.argmax(axis=1))


def test_exact_statistics_leave_out_validation_rows_and_are_for_the_best_model():
    options = {"activation": "tanh", "early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.3}
    model = fitted(norm=EXACT, max_iter=40, monitor="loss", **options)
    assert model.validation_loss_curve_[-1] > min(model.validation_loss_curve_)
    train, validation = model._state.order[0], model._state.validation_rows[0]
    assert sorted([*train, *validation]) == list(range(150))
    assert_exact(model, EXACT, X[train])
    assert model.score(X[validation], y[validation]) == model.best_validation_score_
    running = fitted(norm=RUNNING, max_iter=40, **options)
    assert running.score(X[validation], y[validation]) == max(running.validation_scores_)


def test_exact_statistics_do_not_change_training():
    """Running statistics go on as they were, in the next call too."""
    exact, running = (fitted(norm=norms, warm_start=True, max_iter=3) for norms in (EXACT, RUNNING))
    assert np.abs(exact.norm_means_[0] - running.norm_means_[0]).max() > 1e-4
    for model in (exact, running):
        model.fit(X, y)
    exact.set_params(norm=RUNNING, max_iter=1).fit(X, y)
    running.set_params(max_iter=1).fit(X, y)
    assert_same(exact, running)


def test_each_layer_has_the_statistics_that_its_norm_asks_for():
    mixed, running = (fitted(norm=norms) for norms in ([BatchNorm(statistics="ema"), BatchNorm()], RUNNING[0]))
    np.testing.assert_array_equal(mixed.norm_means_[0], running.norm_means_[0])
    served = np.maximum((X @ mixed.coefs_[0] - mixed.norm_means_[0]) / np.sqrt(mixed.norm_variances_[0] + 1e-5)
                        * mixed.norm_gains_[0] + mixed.intercepts_[0], 0)  # fmt: skip
    np.testing.assert_allclose(mixed.norm_means_[1], (served @ mixed.coefs_[1]).mean(axis=0), rtol=1e-9, atol=1e-12)


# ---- inputs far from zero ---------------------------------------------------------------

FAR = {
    "near": lambda rows: rows,
    "+ 100": lambda rows: rows + 100,
    "+ 1000": lambda rows: rows + 1000,
    "times 1e4": lambda rows: 1e4 * rows + 1e6,
    "a constant of 1e7": lambda rows: np.column_stack([rows, np.full(len(rows), 1e7)]),
}
A = np.random.default_rng(0).standard_normal((60, 4))
SUM = A @ [1, 2, 3, 4.0]
each_distance = pytest.mark.parametrize("distance", FAR)


@each_distance
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("norm", ["batch", "batch_renorm", VIRTUAL, BatchNorm(position="post")], ids=str)
@pytest.mark.parametrize("options", [{}, {"hidden_layer_sizes": (32, 16), "early_stopping": True}], ids=["", "deep"])
@pytest.mark.fast_share(7)
def test_a_fit_predicts_as_training_saw_the_rows(options, norm, dtype, distance):
    """The loss of the last epoch is half the squared error of nearly the same weights, with a batch's statistics."""
    rows = FAR[distance](A).astype(dtype)
    parameters = {"hidden_layer_sizes": (32,), "norm": norm, "learning_rate_init": 0.01, "max_iter": 200, "alpha": 0}
    model = fitted(rows, SUM, MLPRegressor, batch_size=20, **{**parameters, **options})
    lost = 2 * model.loss_curve_[-1] / SUM.var()
    # float32 has no digits for an activation of 1e7 that varies by 1
    coarse = dtype == np.float32 and distance == "a constant of 1e7" and norm == BatchNorm(position="post")
    assert model.score(rows, SUM) > (0.5 if coarse else 0.9 - lost)
    if options:
        validation = model._state.validation_rows[0]
        assert model.best_validation_score_ == pytest.approx(model.score(rows[validation], SUM[validation]))


@each_distance
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_served_statistics_are_those_of_pytorch_updated_on_all_rows(form, distance):
    """`torch.optim.swa_utils.update_bn`, on the fitted weights of a net with weighted rows and dropout."""
    torch = pytest.importorskip("torch")
    rows = FAR[distance](A)
    weight = np.repeat([1.0, 2.0], 30)
    options = {"hidden_layer_sizes": (7,), "dropout": 0.2, "max_iter": 20}
    model = fitted(form(rows), SUM, MLPRegressor, weight, norm="batch", **options)
    module = torch.nn.Sequential(torch.nn.Linear(rows.shape[1], 7), torch.nn.BatchNorm1d(7)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(model.coefs_[0].T))
        module[0].bias.zero_()
        module[1].weight.copy_(torch.tensor(model.norm_gains_[0]))
        module[1].bias.copy_(torch.tensor(model.intercepts_[0]))
    torch.optim.swa_utils.update_bn([torch.tensor(np.repeat(rows, weight.astype(int), axis=0))], module)
    hidden = torch.relu(module.eval()(torch.tensor(rows))).detach().numpy()
    expected = (hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0]
    np.testing.assert_allclose(model.predict(form(rows)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("corrects", ["never", "within bounds", "fully"])
def test_exact_statistics_of_batch_renorm_do_what_a_step_on_all_rows_does(corrects):
    bounds = {"never": (1.0, 0.0), "within bounds": (1.05, 0.02), "fully": (50.0, 50.0)}[corrects]
    norm = BatchRenorm(0.1, 1e-3, *bounds, start_step=0, r_end=0, d_end=0)
    options = {"hidden_layer_sizes": (6,), "batch_size": 20, "max_iter": 15, "learning_rate_init": 0.05}
    model = fitted(A + 3, SUM, MLPRegressor, norm=norm, **options)
    running = fitted(A + 3, SUM, MLPRegressor, norm=replace(norm, statistics="ema"), **options)
    z = (A + 3) @ model.coefs_[0]
    std, running_std = np.sqrt(z.var(axis=0, ddof=1) + 1e-3), np.sqrt(running.norm_variances_[0] + 1e-3)
    r = np.clip(std / running_std, 1 / bounds[0], bounds[0])
    d = np.clip((z.mean(axis=0) - running.norm_means_[0]) / running_std, -bounds[1], bounds[1])
    expected = (z - z.mean(axis=0)) / std * r + d
    served = (z - model.norm_means_[0]) / np.sqrt(model.norm_variances_[0] + 1e-3)
    np.testing.assert_allclose(served, expected, rtol=1e-9, atol=1e-9)
    if corrects == "fully":
        np.testing.assert_allclose(model.norm_means_[0], running.norm_means_[0], rtol=1e-9)


def test_epochs_are_scored_with_the_statistics_of_some_rows_and_the_end_has_all(monkeypatch):
    monkeypatch.setattr("sknn._core.statistics.SAMPLE_ROWS", 30)
    options = {"activation": "tanh", "norm": EXACT, "max_iter": 5}
    model = MLPClassifier((12, 6), random_state=0, batch_size=40, tol=0, **options).fit(X, y, X_val=X, y_val=y)
    assert_exact(model, EXACT, X)
    assert_exact(copied(model).recalibrate_norm(X[::5]), EXACT, X[::5])
    assert model.validation_scores_[-1] == copied(model).recalibrate_norm(X[::5]).score(X, y)
    best = fitted(early_stopping=True, **options)
    assert_exact(best, EXACT, X[best._state.order[0]])
    resumed = copied(fitted(early_stopping=True, warm_start=True, **{**options, "max_iter": 3})).set_params(max_iter=2)
    assert_same(resumed.fit(X, y), best)


def test_the_best_model_keeps_its_statistics_where_later_training_does_not_improve_it():
    options = {"norm": "batch", "early_stopping": True, "warm_start": True, "validation_fraction": 0.3}
    model = fitted(max_iter=10, **options)
    before = copied(model)
    model.set_params(learning_rate_init=1e-9, tol=1.0).fit(X, y)
    assert_same(model, before)


STREAMED = {"hidden_layer_sizes": (32,), "random_state": 0, "learning_rate_init": 0.01}
LAGS = r"hidden layer 1, the running means are [0-9.]+ standard deviations .* Call recalibrate_norm\(X\)"


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", BatchNorm(position="post"), [None, "batch"]], ids=str)
@pytest.mark.parametrize("distance", ["near", "+ 1000", "a constant of 1e7"])
def test_running_statistics_that_lag_behind_are_told_with_the_remedy(distance, norm):
    rows = FAR[distance](A)
    sizes = (32, 16) if isinstance(norm, list) else (32,)
    model = MLPRegressor(**{**STREAMED, "hidden_layer_sizes": sizes}, norm=norm)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(64):
            model.partial_fit(rows, SUM)
    told = [re.search(LAGS.replace("layer 1", "layer [12]"), str(warning.message)) for warning in caught]
    if distance == "near" or isinstance(norm, list):  # a layer below keeps the rows near zero
        assert not told or isinstance(norm, list)
    else:
        assert told and all(told)
        assert model.score(rows, SUM) < 0
        assert model.recalibrate_norm(rows).score(rows, SUM) > 0.8


def test_calls_of_partial_fit_that_look_for_a_lag_are_counted_from_the_last_fit():
    model = MLPRegressor(**STREAMED, norm="batch", max_iter=20)
    for n_epochs in (20, 13):  # of which no call of partial_fit can be seen
        model.set_params(max_iter=n_epochs).fit(A + 1000, SUM)
        told = []
        for call in range(1, 200):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.partial_fit(A + 1000, SUM)
            told += [call] * len(caught)
        assert set(told) <= {1, 2, 4, 8, 16, 32, 64, 128, 192}
        assert {8, 16, 32, 64, 128} <= set(told)


def test_a_fit_that_asks_for_running_statistics_is_told_of_their_lag_and_of_exact_ones():
    model = MLPRegressor(norm=BatchNorm(statistics="ema"), max_iter=30, **STREAMED)
    with pytest.warns(UserWarning, match=LAGS + ".*or set statistics='exact' in the norm"):
        model.fit(A + 1000, SUM)
    model.set_params(freeze_norm=True, warm_start=True).fit(A, SUM)  # statistics are those asked for


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("norms", [EXACT, RUNNING], ids=["exact", "ema"])
def test_recalibration_takes_the_statistics_of_other_rows(norms, early_stopping, weighted):
    rows = np.random.default_rng(0).normal(1, 2, (60, 4))
    weight = np.random.default_rng(1).uniform(0, 2, 60) if weighted else None
    model = fitted(norm=norms, activation="tanh", early_stopping=early_stopping)
    before = copied(model)
    assert model.recalibrate_norm(rows, weight) is model
    outputs = assert_exact(model, norms, rows, weight)
    np.testing.assert_array_equal(model.predict(rows), outputs.argmax(axis=1))
    assert_same(model, before, names=SHOWN[:4])
    assert np.abs(model.norm_means_[0] - before.norm_means_[0]).max() > 0.1
    once = copied(model)
    assert_same(once, model)
    assert_same(model.recalibrate_norm(rows, weight), once)


def test_after_recalibration_a_batch_has_the_weight_of_momentum():
    model = MLPClassifier((8,), norm="batch", random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    before, W = model.recalibrate_norm(X + 1).norm_means_[0].copy(), model.coefs_[0].copy()
    model.partial_fit(X, y)
    np.testing.assert_allclose(model.norm_means_[0], 0.9 * before + 0.1 * (X @ W).mean(axis=0), rtol=1e-10)


def test_recalibration_of_sparse_rows_in_chunks(monkeypatch):
    model = fitted(norm=RUNNING, activation="tanh")
    set_chunk_elements(monkeypatch, 12 * 7)
    model.recalibrate_norm(scipy.sparse.csr_array(X[:50]))
    assert_exact(model, RUNNING, X[:50])


def test_recalibration_keeps_what_a_user_replaced():
    model = fitted(norm=RUNNING, activation="tanh")
    model.coefs_ = [2 * W for W in model.coefs_]
    model.norm_gains_ = [gain if gain is None else 3 * gain for gain in model.norm_gains_]
    before = [W.copy() for W in model.coefs_]
    model.recalibrate_norm(X)
    for W, expected in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, expected)
    np.testing.assert_array_equal(model.predict(X), assert_exact(model, RUNNING, X).argmax(axis=1))


def test_recalibration_of_a_model_that_was_loaded_as_a_memory_map(tmp_path):
    joblib.dump(fitted(norm=RUNNING, activation="tanh", early_stopping=True), tmp_path / "model")
    model = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_exact(model.recalibrate_norm(X), RUNNING, X)


@pytest.mark.parametrize("norm", [None, "layer", "weight"])
def test_recalibration_needs_running_statistics(norm):
    with pytest.raises(ValueError, match="recalibrate_norm needs a layer with running statistics.*; got .*Set norm"):
        fitted(norm=norm).recalibrate_norm(X)


def test_recalibration_needs_two_rows():
    with pytest.raises(ValueError, match="minimum of 2"):
        fitted(norm="batch").recalibrate_norm(X[:1])


# ---- frozen statistics ------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "solver, norm",
    [
        *(("lbfgs", BatchNorm()), ("lbfgs", BatchNorm(statistics="exact"))),
        *(("adam", BatchNorm()), ("adam", BatchNorm(statistics="exact")), ("adam", EVERY["renorm"])),
    ],
    ids=str,
)
def test_frozen_statistics_stay_and_all_else_learns(solver, norm, early_stopping):
    norms = [norm, replace(norm, position="post")]
    options = {"norm": norms, "warm_start": True, "learning_rate_init": 0.1, "early_stopping": early_stopping}
    model = fitted(solver=solver, activation="tanh", **options)
    before = copied(model)
    model.set_params(freeze_norm=True).fit(-X[::-1], y[::-1])
    assert_same(model, before, names=SHOWN[4:])
    if early_stopping and solver == "adam":
        model.set_params(early_stopping=False).fit(-X[::-1], y[::-1])
        assert_same(model, before, names=SHOWN[4:])
    changed, old = arrays(model), arrays(before)
    assert all(np.abs(changed[key] - old[key]).max() > 1e-6 for key in old if key[0] in SHOWN[:4])


def test_frozen_statistics_in_partial_fit():
    model = MLPClassifier((8,), norm="batch", random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    before = copied(model)
    model.set_params(freeze_norm=True)
    for _ in range(3):
        model.partial_fit(X + 1, y)
    assert_same(model, before, names=SHOWN[4:])
    model.set_params(freeze_norm=False).partial_fit(X + 1, y)
    assert np.abs(model.norm_means_[0] - before.norm_means_[0]).max() > 1e-3


def test_with_frozen_statistics_a_row_may_come_alone():
    model = MLPClassifier((8,), norm="batch", random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    before = copied(model)
    model.set_params(freeze_norm=True).partial_fit(X[:1], y[:1])
    model.set_params(batch_size=1, warm_start=True, max_iter=1).fit(X, y)
    assert_same(model, before, names=SHOWN[4:])
    assert np.isfinite(model.coefs_[0]).all() and (model.coefs_[0] != before.coefs_[0]).any()


def test_training_with_frozen_statistics_is_that_of_a_network_without_norm():
    """Full-batch gradient descent, by hand on the folded affine map: only gains and shifts come on top."""
    norm = BatchNorm(center=False, scale=False)
    options = {"norm": norm, "activation": "identity", "hidden_layer_sizes": (3,), "alpha": 0, "batch_size": 150}
    model = fitted(solver=SGD(0.0), warm_start=True, max_iter=2, **options)
    factor = 1 / np.sqrt(model.norm_variances_[0] + norm.eps)
    W, V, b = (part.copy() for part in (*model.coefs_, model.intercepts_[1]))
    model.set_params(freeze_norm=True, max_iter=1, learning_rate_init=0.5).fit(X, y)
    hidden = (X @ W - model.norm_means_[0]) * factor
    raw = hidden @ V + b
    probability = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    d = (probability - np.eye(3)[y]) / 150
    np.testing.assert_allclose(model.coefs_[0], W - 0.5 * X.T @ (d @ V.T * factor), rtol=1e-10)
    np.testing.assert_allclose(model.coefs_[1], V - 0.5 * hidden.T @ d, rtol=1e-10)


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_a_first_fit_has_nothing_to_freeze(fit):
    model = MLPClassifier(norm="batch", freeze_norm=True, warm_start=True)
    with pytest.raises(ValueError, match="freeze_norm must be False in a first fit"):
        getattr(model, fit)(X, y, **({"classes": [0, 1, 2]} if fit == "partial_fit" else {}))


# ---- batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows, size", [(2, 200), (7, 3), (7, 6), (41, 10), (201, 200), (13, 2)])
def test_a_last_row_joins_the_batch_before(n_rows, size):
    lengths, plain = batch_lengths(n_rows, size, True), batch_lengths(n_rows, size)
    assert lengths.sum() == plain.sum() == n_rows and lengths.min() >= 2
    np.testing.assert_array_equal(lengths, [*plain[:-2], size + 1] if plain[-1] == 1 else plain)


@pytest.mark.parametrize("norm", ["batch", VIRTUAL, EVERY["renorm"]], ids=str)
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_last_batch_of_one_row_is_not_normalised_alone(shuffle, norm):
    model = fitted(X[:121], y[:121], norm=norm, shuffle=shuffle, warm_start=True)
    for size in (120, 30, 7, 11):
        model.set_params(batch_size=size, max_iter=2).fit(X[:121], y[:121])
        assert all(np.isfinite(array).all() for array in arrays(model).values())
    if norm is not VIRTUAL:
        updates = model._network.statistics_layout.of_kind("updates", model._state.statistics)[0].item()
        assert updates == 6 * 3 + 2 * (1 + 4 + 18 + 11)


def test_partial_fit_of_a_last_row():
    model = MLPClassifier((8,), norm="batch", batch_size=10, random_state=0)
    for start in (0, 21, 42):
        model.partial_fit(X[start : start + 21], y[start : start + 21], classes=[0, 1, 2])
    assert all(np.isfinite(array).all() for array in arrays(model).values())
    with pytest.raises(ValueError, match="2 rows or more"):
        model.partial_fit(X[:1], y[:1])


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", [None, "batch"]], ids=str)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_rows_that_need_each_other_do_not_come_alone(estimator, norm):
    says = "must have training batches of 2 rows or more"
    with pytest.raises(ValueError, match=rf"^norm=.* {says}.*got batch_size=1 and n_samples=150"):
        fitted(estimator=estimator, norm=norm, batch_size=1)
    with pytest.raises(ValueError, match=rf"{says}.*n_samples=1\."):
        fitted(X[:1], y[:1], estimator, norm=norm, batch_size="auto")
    if norm != "batch_renorm":
        with pytest.raises(ValueError, match=rf"{says}.*n_samples=1\."):
            fitted(X[:1], y[:1], estimator, norm=norm, solver="lbfgs")
    fitted(estimator=estimator, norm="layer", batch_size=1, max_iter=1)


# ---- going on ---------------------------------------------------------------------------


@each_norm
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_in_two_goes_is_training_in_one(early_stopping, norm):
    options = {"norm": norm, "early_stopping": early_stopping, "batch_size": 37}
    resumed = copied(fitted(max_iter=3, warm_start=True, **options)).fit(X, y)
    assert_same(resumed, fitted(max_iter=6, **options))


@pytest.mark.parametrize(
    "before, after",
    [
        ("layer", "batch"),
        ("batch", "layer"),
        (None, "batch"),
        (None, "layer"),
        ("batch", BatchNorm(position="post")),
        (["batch", None], [None, "batch"]),
        (["layer", None], [None, "layer"]),
    ],
    ids=str,
)
def test_going_on_needs_norms_of_the_same_shapes(before, after):
    model = fitted(hidden_layer_sizes=(6, 6), norm=before, warm_start=True)
    was = copied(model)
    with pytest.raises(
        ValueError, match="^norm and activation must keep the number and shapes of their parameters in each layer"
    ):
        model.set_params(norm=after).fit(X, y)
    assert_same(model, was)
    np.testing.assert_array_equal(model.predict_proba(X), was.predict_proba(X))


@pytest.mark.parametrize(
    "before, after", [("batch", "batch_renorm"), ("layer", GroupNorm(3)), ("batch", VIRTUAL)], ids=str
)
def test_going_on_with_another_norm_of_the_same_shapes(before, after):
    model = fitted(norm=before, warm_start=True)
    was = copied(model)
    model.set_params(norm=after).fit(X, y)
    assert np.abs(model.coefs_[0] - was.coefs_[0]).max() > 1e-4 and np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("norm", ["batch", EVERY["renorm"]], ids=str)
def test_early_stopping_serves_the_best_weights_with_their_statistics(norm):
    options = {"norm": norm, "early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.3}
    model = fitted(max_iter=25, **options)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert best < 25
    there = fitted(max_iter=best, **options)
    assert_same(model, there)
    np.testing.assert_array_equal(model.predict_proba(X), there.predict_proba(X))
    assert np.abs(model._state.statistics - model._state.prediction_model[1]).max() > 1e-3


# ---- prediction and attributes ----------------------------------------------------------


@each_norm
def test_predictions_do_not_depend_on_the_other_rows(norm):
    model = fitted(norm=norm)
    whole = model.predict_proba(X)
    for rows in (slice(0, 1), slice(60, 100)):
        np.testing.assert_allclose(model.predict_proba(X[rows]), whole[rows], rtol=1e-12)


@each_norm
def test_shapes_of_what_norms_learn_and_keep(norm):
    model = fitted(norm=norm)
    norms = [
        NORMS.get(item, item) if isinstance(item, str) else item
        for item in (norm if isinstance(norm, list) else [norm] * 2)
    ]
    has = {
        "norm_gains_": lambda norm: getattr(norm, "scale", True),
        "norm_shifts_": lambda norm: getattr(norm, "position", "pre") == "post" and norm.center,
        "norm_means_": lambda norm: isinstance(norm, BatchNorm | BatchRenorm),
        "norm_variances_": lambda norm: isinstance(norm, BatchNorm | BatchRenorm),
    }
    for name, holds in has.items():
        expected = [(units,) if holds(norm) else None for norm, units in zip(norms, (12, 6), strict=True)]
        if any(expected):
            assert [array if array is None else array.shape for array in getattr(model, name)] == [*expected, None]
        else:
            assert not hasattr(model, name)


def test_biases_behind_a_norm_are_its_shift_or_stay_zero():
    shifted, plain = (fitted(norm=BatchNorm(center=center)) for center in (True, False))
    assert all(np.abs(b).min() > 0 for b in shifted.intercepts_[:-1])
    assert all((b == 0).all() for b in plain.intercepts_[:-1]) and (plain.intercepts_[-1] != 0).all()


def test_norms_start_at_gain_one_and_shift_zero():
    for norm in ("batch", LayerNorm(position="post")):
        model = fitted(norm=norm, learning_rate_init=1e-12)
        plain = fitted(learning_rate_init=1e-12)
        at_start = {"norm_gains_": 1, "norm_shifts_": 0} | ({"intercepts_": 0} if norm == "batch" else {})
        for (name, i), array in arrays(model).items():
            if name in at_start and i < 2:
                np.testing.assert_allclose(array, at_start[name], atol=1e-9)
        for W, expected in zip(model.coefs_, plain.coefs_, strict=True):
            np.testing.assert_allclose(W, expected, atol=1e-9)


def test_weight_norm_starts_at_the_drawn_weights():
    model = fitted(norm=WeightNorm(data_dependent=False), learning_rate_init=1e-12)
    for W, gain in zip(model.coefs_, model.norm_gains_, strict=True):
        if gain is not None:
            np.testing.assert_allclose(gain, np.linalg.norm(W, axis=0), atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), fitted(learning_rate_init=1e-12).predict_proba(X), rtol=1e-8)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("load", [lambda model: model, copied], ids=["fitted", "pickled"])
@pytest.mark.parametrize("name", SHOWN[2:])
def test_what_is_shown_is_what_predicts(name, load, early_stopping):
    """And what a loaded model shows are views of its state again, of which there is one copy."""
    model = load(fitted(norm=BatchNorm(position="post"), early_stopping=early_stopping))
    before, array = model.predict_proba(X), getattr(model, name)[0]
    served = model._state.prediction_model[1 if name in SHOWN[4:] else 0]
    assert np.shares_memory(array, served)
    array *= 1.5
    array += 0.1
    after = model.predict_proba(X)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(copied(model).predict_proba(X), after)


@pytest.mark.parametrize("name", SHOWN[2:])
def test_what_a_user_replaced_survives_pickling(name):
    model = fitted(norm=BatchNorm(position="post"))
    setattr(model, name, [array if array is None else array + 0.5 for array in getattr(model, name)])
    loaded = copied(model)
    assert_same(loaded, model)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@each_norm
def test_float32_stays(norm):
    model = fitted(X.astype(np.float32), norm=norm)
    assert {array.dtype for array in arrays(model).values()} == {np.dtype(np.float32)}
    assert model.predict_proba(X).dtype == model._state.statistics.dtype == np.float32
    np.testing.assert_allclose(model.predict_proba(X), fitted(norm=norm).predict_proba(X), atol=2e-3)


# ---- L-BFGS -----------------------------------------------------------------------------


def test_lbfgs_has_the_statistics_of_all_rows():
    """They are the same for "ema", as there are no batches."""
    options = {"activation": "tanh", "solver": "lbfgs", "alpha": 0.1, "max_iter": 300}
    model = fitted(norm=RUNNING, **options)
    assert_exact(model, RUNNING, X)
    assert model.score(X, y) > 0.95
    at_start = model._network.initial_statistics(1, float)
    np.testing.assert_array_equal(model._state.statistics, at_start)  # left to solvers by mini-batches
    assert_same(fitted(norm=EXACT, **options), model)


def test_lbfgs_takes_no_norm_that_follows_training():
    for norm in ("batch_renorm", [None, BatchRenorm()]):
        with pytest.raises(
            ValueError, match="^norm must not be set for solver 'lbfgs', which does not train by mini-batches"
        ):
            fitted(norm=norm, solver="lbfgs")


# ---- what is refused, searches ----------------------------------------------------------


@pytest.mark.parametrize(
    "norm", [GroupNorm(5), GroupNorm(12), InstanceNorm(7), InstanceNorm(24), [None, GroupNorm(6)]], ids=str
)
def test_groups_that_do_not_fit(norm):
    last = norm[-1] if isinstance(norm, list) else norm
    groups = getattr(last, "groups", getattr(last, "channels", None))
    says = rf"^{type(last).__name__}\(.*divided into {groups} equal groups of two or more; "
    says += f"got {6 if isinstance(norm, list) else 12}"
    with pytest.raises(ValueError, match=says + " units. A group of one unit would be 0"):
        fitted(norm=norm)


def test_a_layer_of_one_unit_cannot_be_normalised_by_row():
    with pytest.raises(ValueError, match=r"a layer of two or more units; got 1 unit\."):
        fitted(hidden_layer_sizes=(1,), norm="layer")


WRONG = [
    *((norm, "eps", value) for norm in (BatchNorm, BatchRenorm, LayerNorm) for value in (0, -1e-3, np.nan)),
    *((norm, "position", value) for norm in (BatchNorm, BatchRenorm, LayerNorm) for value in ("before", None)),
    *((norm, "momentum", value) for norm in (BatchNorm, BatchRenorm) for value in (0, 1.1, -0.5, np.nan)),
    *((BatchNorm, "statistics", value) for value in ("mean", None)),
    *((BatchNorm, "virtual_batch_size", value) for value in (1, 0, 2.5)),
    *((BatchRenorm, "r_max", value) for value in (0.9, np.nan)),
    *((BatchRenorm, "d_max", value) for value in (-0.1, np.nan)),
    *((BatchRenorm, "start_step", value) for value in (-1, 0.5)),
    *((BatchRenorm, name, value) for name in ("r_end", "d_end") for value in (4999, 6000.5)),
    *((GroupNorm, "groups", value) for value in (0, -2, 2.5, "4", True, None)),
    *((InstanceNorm, "channels", value) for value in (0, -2, 2.5, "4", True, None)),
    *(
        (partial(norm, 2), name, value)
        for norm in (GroupNorm, InstanceNorm)
        for name, value in [("eps", 0), ("position", "?")]
    ),
]


@pytest.mark.parametrize("norm, name, value", WRONG, ids=str)
@pytest.mark.fast_share(5)
def test_what_norms_refuse(norm, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*; got {value!r}"):
        norm(**{name: value})


@pytest.mark.parametrize("name", ["group", "instance"])
def test_a_norm_that_needs_an_argument_has_no_name(name):
    with pytest.raises(ValueError, match=r"^norm must be .* such as GroupNorm\(groups=4\) .*; got '" + name):
        fitted(norm=name)


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_freeze_norm_is_a_boolean(value):
    with pytest.raises(ValueError, match="^freeze_norm must be True or False"):
        fitted(freeze_norm=value)


def test_norms_in_a_search():
    norms = [None, "batch", "layer", BatchNorm(0.3, statistics="exact"), ["weight", GroupNorm(3)]]
    model = MLPClassifier((8, 6), max_iter=4, random_state=0)
    search = GridSearchCV(model, {"norm": norms}, cv=2, error_score="raise").fit(X, y)
    assert [params["norm"] for params in search.cv_results_["params"]] == norms
    assert search.best_params_["norm"] in norms


@each_norm
def test_norms_are_values(norm):
    model = MLPClassifier((12, 6), norm=norm)
    assert clone(model).norm == norm
    names = {name: globals()[name] for name in ("BatchNorm", "BatchRenorm", "LayerNorm", "GroupNorm", "InstanceNorm")}
    instances = [item for item in (norm if isinstance(norm, list) else [norm]) if not isinstance(item, str)]
    assert all(eval(repr(item), names) == item and hash(item) == hash(copied(item)) for item in instances)
    assert all(type(item).__name__ in repr(model) for item in instances)


# ---- scikit-learn's checks --------------------------------------------------------------

CHECKED = [
    {"norm": "layer"},
    {"norm": "batch"},
    {"norm": ["batch", "layer"], "hidden_layer_sizes": (30, 20), "dropout": 0.1, "activation": "gelu"},
    {"norm": "weight"},
    {"norm": GroupNorm(5)},
    {"norm": BatchNorm(position="post", statistics="exact")},
]


DRAWN = "dropout draws for each row anew, so that a row twice is not the row with twice the weight"


def expected_failures(estimator):
    if not estimator.dropout:
        return {}
    return {f"check_sample_weight_equivalence_on_{form}_data": DRAWN for form in ("dense", "sparse")}


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@shared_out(
    parametrize_with_checks(
        [estimator(**options) for estimator in (MLPClassifier, MLPRegressor) for options in CHECKED],
        expected_failed_checks=expected_failures,
    ),
    every=6,
)
def test_estimator(estimator, check):
    check(estimator)
