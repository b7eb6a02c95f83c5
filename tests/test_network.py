"""Networks: where parameters lie, and passes against plain formulas, differences and PyTorch."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sknn._core import passes
from sknn._core.layout import pack
from sknn._core.passes import ChunkedPass, Model
from sknn.activations import ACTIVATIONS, Maxout
from tests.support.backends import BACKENDS, rows_on, set_chunk_elements
from tests.support.designs import all_pairs, in_turns
from tests.support.differences import assert_gradient, slope
from tests.support.losses import LOSSES
from tests.support.networks import N_FEATURES, N_OUTPUTS, N_ROWS, make_case, make_network, plain_layers

HIDDEN = [(), (4,), (6, 4)]
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_stack = pytest.mark.parametrize("n_models", [1, 3])
each_form = pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
# half of them, in which each activation is before and behind others
each_two_activations = pytest.mark.parametrize(
    "activations", list(itertools.permutations(ACTIVATIONS, 2))[::2], ids="-".join
)
each_hidden = pytest.mark.parametrize("hidden", HIDDEN, ids=str)
widths_lists = st.lists(st.integers(1, 6), min_size=2, max_size=5)


# ---- layout -----------------------------------------------------------------------------


def layout_of(widths):
    """Return the layout of a plain network."""
    return make_network(widths).layout


def fresh_theta(layout, n_models):
    """Return a theta of which every entry is another number."""
    return np.arange(float(n_models * layout.size)).reshape(n_models, layout.size)


@given(widths=widths_lists, n_models=st.integers(1, 3))
def test_views_share_memory_and_cover_theta_once(widths, n_models):
    layout = layout_of(widths)
    theta = fresh_theta(layout, n_models)
    views = [*layout.of_kind("weights", theta), *layout.of_kind("biases", theta)]
    assert all(np.shares_memory(view, theta) for view in views)
    assert sorted(np.concatenate([view.ravel() for view in views])) == sorted(theta.ravel())
    for view in views:
        view += 1000
    np.testing.assert_array_equal(theta, fresh_theta(layout, n_models) + 1000)


@given(widths=widths_lists, n_models=st.integers(1, 3))
def test_shapes_are_models_fan_in_fan_out(widths, n_models):
    layout = layout_of(widths)
    theta = fresh_theta(layout, n_models)
    assert [W.shape for W in layout.of_kind("weights", theta)] == [
        (n_models, *fans) for fans in itertools.pairwise(widths)
    ]
    assert [b.shape for b in layout.of_kind("biases", theta)] == [(n_models, 1, units) for units in widths[1:]]


@given(widths=widths_lists, n_models=st.integers(1, 3))
def test_what_decays_comes_first(widths, n_models):
    layout = layout_of(widths)
    theta = fresh_theta(layout, n_models)
    theta[:, : layout.n_decayed] = -1
    assert all((W == -1).all() for W in layout.of_kind("weights", theta))
    assert all((b >= 0).all() for b in layout.of_kind("biases", theta))


@given(widths=widths_lists)
def test_pack_is_the_inverse_of_the_views(widths):
    layout = layout_of(widths)
    theta = fresh_theta(layout, 1)
    weights, biases = layout.of_kind("weights", theta), layout.of_kind("biases", theta)
    packed = pack([np.asfortranarray(W[0]) for W in weights], [b[0, 0] for b in biases])
    np.testing.assert_array_equal(packed, theta)
    assert not np.shares_memory(packed, theta)


# ---- passes -----------------------------------------------------------------------------


@each_loss
@each_activation
@pytest.mark.fast_share(3)
def test_gradient_by_differences_on_the_cpu(activation, loss):
    objective, theta = make_case(BACKENDS["cpu"], (6, 4), activation, loss, 2)
    assert_gradient(objective, theta)


@pytest.mark.slow
@all_pairs(each_backend, each_stack, each_form, each_loss, each_activation, each_hidden)
def test_gradient_by_differences(hidden, activation, loss, form, n_models, backend):
    objective, theta = make_case(backend, hidden, activation, loss, n_models, form)
    assert_gradient(objective, theta)


@in_turns(each_two_activations, each_backend)
@pytest.mark.fast_share(5)
def test_gradient_with_another_activation_in_each_layer(activations, backend):
    objective, theta = make_case(backend, (6, 4), activations, "softmax_log_loss", 2)
    assert_gradient(objective, theta)


@each_backend
@pytest.mark.parametrize("parameter", range(0, (N_FEATURES + N_OUTPUTS) * 4 + 4 + N_OUTPUTS, 3))
def test_each_parameter_has_its_own_gradient(parameter, backend):
    objective, theta = make_case(backend, (4,), "tanh", "squared_error", 1)
    direction = np.zeros_like(theta)
    direction[0, parameter] = 1
    numeric = slope(lambda theta: objective(theta)[0], theta, direction)
    np.testing.assert_allclose(objective(theta)[1][:, parameter], numeric, rtol=1e-7, atol=1e-9)


@each_backend
@each_hidden
def test_the_penalty_has_weights_and_no_biases(hidden, backend):
    objective, theta = make_case(backend, hidden, "tanh", "squared_error", 2)
    value, gradient = objective(theta)
    strength, objective.alpha = objective.alpha / objective.weight.sum(), np.zeros(2)
    free_value, free_gradient = objective(theta)
    weights = objective.network.layout.of_kind("weights", theta)
    squares = sum((W**2).sum(axis=(1, 2)) for W in weights)
    np.testing.assert_allclose(value - free_value, strength / 2 * squares, rtol=1e-11)
    layout = objective.network.layout
    for g, free, W in zip(
        layout.of_kind("weights", gradient), layout.of_kind("weights", free_gradient), weights, strict=True
    ):
        np.testing.assert_allclose(g - free, strength[:, None, None] * W, rtol=1e-10, atol=1e-13)
    for g, free in zip(layout.of_kind("biases", gradient), layout.of_kind("biases", free_gradient), strict=True):
        np.testing.assert_array_equal(g, free)


@pytest.mark.slow
@all_pairs(each_backend, each_form, each_loss, each_activation, each_hidden)
def test_a_stack_passes_as_each_model_alone(hidden, activation, loss, form, backend):
    """To rounding: products and sums of one model and of several may be added up in another order."""
    objective, theta = make_case(backend, hidden, activation, loss, 3, form)
    values, gradients = objective(theta)
    alpha = objective.alpha
    for k in range(3):
        objective.alpha = alpha[[k]]
        value, gradient = objective(theta[[k]])
        np.testing.assert_allclose(values[[k]], value, rtol=1e-13)
        np.testing.assert_allclose(gradients[[k]], gradient, rtol=1e-11, atol=1e-14)


@each_backend
@each_loss
def test_a_pass_changes_neither_parameters_nor_data(loss, backend):
    objective, theta = make_case(backend, (4,), "relu", loss, 2)
    before = theta.copy(), objective.X.copy(), objective.y.copy()
    for array in (objective.X, objective.y, objective.weight, objective.alpha, theta):
        array.flags.writeable = False
    objective(theta)
    for array, old in zip((theta, objective.X, objective.y), before, strict=True):
        np.testing.assert_array_equal(array, old)


@each_backend
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_objective_and_gradient_are_pytorchs(activation, backend):
    torch = pytest.importorskip("torch")
    objective, theta = make_case(backend, (6, 4), activation, "softmax_log_loss", 1)
    layout, function = objective.network.layout, {"relu": torch.relu, "tanh": torch.tanh}[activation]
    weights = [torch.tensor(W[0], requires_grad=True) for W in layout.of_kind("weights", theta)]
    biases = [torch.tensor(b[0, 0], requires_grad=True) for b in layout.of_kind("biases", theta)]
    y, weight = torch.tensor(objective.y[:, 0]), torch.tensor(objective.weight)
    hidden = torch.tensor(objective.X)
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        hidden = function(hidden @ W + b)
    losses = torch.nn.functional.cross_entropy(hidden @ weights[-1] + biases[-1], y, reduction="none")
    penalty = objective.alpha[0] / 2 * sum((W**2).sum() for W in weights)
    peer = ((losses * weight).sum() + penalty) / weight.sum()
    peer.backward()
    value, gradient = objective(theta)
    np.testing.assert_allclose(value[0], peer.item(), rtol=1e-13)
    theirs = pack([W.grad.numpy() for W in weights], [b.grad.numpy() for b in biases])
    np.testing.assert_allclose(gradient, theirs, rtol=1e-11, atol=1e-14)


# ---- raw outputs ------------------------------------------------------------------------


def outputs_case(activation="relu", n_models=3, dtype=float, n_rows=N_ROWS):
    network = make_network((N_FEATURES, 6, 4, N_OUTPUTS), activation)
    rng = np.random.default_rng(0)
    theta = rng.normal(scale=0.5, size=(n_models, network.layout.size)).astype(dtype)
    return network, theta, rng.standard_normal((n_rows, N_FEATURES)).astype(dtype)


def set_chunk(monkeypatch, rows):
    """Have chunks of so many rows where the widest layer has six units."""
    set_chunk_elements(monkeypatch, int(rows * 6))


def outputs_of(backend, network, theta, X, rows=None):
    statistics = network.initial_statistics(len(theta), theta.dtype)
    model = Model.of_flat(backend, network, theta, statistics)
    return ChunkedPass(model, rows_on(backend, X), rows).outputs()


@all_pairs(
    each_backend,
    each_form,
    each_stack,
    pytest.mark.parametrize("dtype", [np.float32, np.float64]),
    pytest.mark.parametrize("activation", [*ACTIVATIONS, ("relu", "tanh")], ids=str),
)
def test_raw_outputs_are_those_of_the_plain_formula(activation, dtype, n_models, form, backend):
    network, theta, X = outputs_case(activation, n_models, dtype)
    outputs = outputs_of(backend, network, theta, form(X))
    assert outputs.dtype == dtype
    expected = [plain_layers(network, row, X.astype(float))[-1] for row in theta.astype(float)]
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)


@all_pairs(
    each_backend,
    each_form,
    pytest.mark.parametrize("n_streams", [None, 1, 3]),
    pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100]),
)
def test_chunks_are_joined(chunk, n_streams, form, backend, monkeypatch):
    network, theta, X = outputs_case()
    rows = None if n_streams is None else np.random.default_rng(1).integers(N_ROWS, size=(n_streams, 7))
    seen = [np.arange(N_ROWS)] * 3 if rows is None else np.broadcast_to(rows, (3, 7))
    set_chunk(monkeypatch, chunk)
    outputs = outputs_of(backend, network, theta, form(X), rows)
    expected = [plain_layers(network, row, X[chosen])[-1] for row, chosen in zip(theta, seen, strict=True)]
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-13)


@all_pairs(
    each_backend,
    each_form,
    pytest.mark.parametrize("rows", [None, np.array([[5, 0, 5, 2, 1]])], ids=["all", "chosen"]),
    pytest.mark.parametrize("chunk", [2, 100]),
)
def test_outputs_follow_the_parameters(chunk, rows, form, backend, monkeypatch):
    """A pass is made once and asked again after each epoch."""
    network, theta, X = outputs_case(n_models=1)
    set_chunk(monkeypatch, chunk)
    model = Model(backend, network, network.layout.views(theta), [{}] * 3)
    chunked = ChunkedPass(model, rows_on(backend, form(X)), rows)
    chunked.outputs()
    theta *= 2
    expected = plain_layers(network, theta[0], X if rows is None else X[rows[0]])[-1]
    np.testing.assert_allclose(chunked.outputs()[0], expected, rtol=1e-12, atol=1e-13)


def test_a_layer_wider_than_a_chunk_goes_row_by_row(monkeypatch):
    set_chunk(monkeypatch, 1 / 6)
    network, theta, X = outputs_case(n_models=1)
    outputs = outputs_of(BACKENDS["cpu"], network, theta, X)
    np.testing.assert_allclose(outputs[0], plain_layers(network, theta[0], X)[-1], rtol=1e-12, atol=1e-13)


def most_rows(network, X, gathers=False):
    backend = BACKENDS["cpu"]
    return passes.most_rows(Model(backend, network, [], []), rows_on(backend, X), gathers)


@pytest.mark.parametrize(
    "widths, form, gathers, rows",
    [
        ((2**20, 100, 10), np.asarray, False, 10_485),  # a view of X needs no buffer
        ((2**20, 100, 10), scipy.sparse.csr_array, True, 10_485),
        ((4096, 100, 10), np.asarray, True, 256),
        ((2**20, 100, 10), np.asarray, True, 128),
        ((10, 2**20, 10), np.asarray, False, 128),
    ],
)
def test_chunks_are_bounded_by_what_needs_a_buffer(widths, form, gathers, rows):
    X = form(np.empty((1, widths[0]), np.float32))
    assert most_rows(make_network(widths, "relu"), X, gathers) == rows


def test_units_of_several_pieces_count_as_often():
    X, widths = np.empty((1, 10)), (10, 2**11, 10)
    plain = make_network(widths, "relu")
    pieces = replace(plain, activations=(Maxout(pieces=4),))
    assert most_rows(plain, X) == 4 * most_rows(pieces, X)


@settings(max_examples=30)
@given(widths=widths_lists, n_rows=st.integers(1, 9), n_models=st.integers(1, 3), seed=st.integers(0, 99))
def test_any_widths_and_rows(widths, n_rows, n_models, seed):
    network, rng = make_network(widths, "tanh"), np.random.default_rng(seed)
    theta, X = rng.standard_normal((n_models, network.layout.size)), rng.standard_normal((n_rows, widths[0]))
    expected = [plain_layers(network, row, X)[-1] for row in theta]
    np.testing.assert_allclose(outputs_of(BACKENDS["cpu"], network, theta, X), expected, rtol=1e-11, atol=1e-12)
