"""Every kernel that a backend overrides equals its definition in the reference backend; those of CUDA by simulation."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknn._backend import operations as ops
from sknn._backend.cuda import backend as cuda
from sknn._backend.cuda import launches
from sknn._backend.operations import Tables
from sknn.activations import ACTIVATIONS
from sknn.losses import Huber, Quantile, SoftmaxLogLoss
from sknn.normalization import BatchRenorm
from sknn.optimizers import OPTIMIZERS, Lion
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs
from tests.support.ferry import Ferried
from tests.support.gpu import cupy_or_skip
from tests.support.kernels import COMPARED_ACTIVATIONS, COMPARED_OPTIMIZERS, each_dtype, each_stack, normal
from tests.support.losses import LOSSES, losses_without_test, random_targets

FUSED = {name: backend for name, backend in BACKENDS.items() if name != "reference"}
each_stream = pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
each_access = pytest.mark.parametrize("frozen", [False, True], ids=["writeable", "read_only"])
each_poison = pytest.mark.parametrize("poison", [None, np.nan, np.inf, -np.inf], ids=str)
each_activation = pytest.mark.parametrize("activation", COMPARED_ACTIVATIONS.values(), ids=COMPARED_ACTIVATIONS)
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
each_optimizer = pytest.mark.parametrize("optimizer", COMPARED_OPTIMIZERS, ids=str)
MARGIN = 64


class Sizes(NamedTuple):
    """Of what kernels are compared on."""

    rows: int
    units: int
    parameters: int
    decayed: int


# Fused loops see a vector and a rest in few numbers; of a GPU there are to be several blocks each way, with a rest.
FEW, MANY = Sizes(6, 5, 37, 30), Sizes(37, 70, 1500, 1100)


SETS = [
    ("cpu", FEW),
    *(pytest.param(("cuda", sizes), marks=pytest.mark.slow) for sizes in (FEW, MANY)),
    pytest.param(("gpu", MANY), marks=pytest.mark.gpu),
]


def name_of(kernels):
    """Return whose kernels are compared, and on how many rows."""
    return f"{kernels[0]}-{kernels[1].rows}"


# For what takes too many launches, or asks for more than a GPU's functions promise; and of sizes that are its own.
not_on_a_gpu = pytest.mark.parametrize("compared", SETS[:-1], ids=name_of, indirect=True)
of_its_own_sizes = pytest.mark.parametrize("compared", SETS[:2], ids=name_of, indirect=True)


@pytest.fixture(scope="module", params=SETS, ids=name_of)
def compared(request):
    """The backend that is compared with the definitions, and on what sizes."""
    name, sizes = request.param
    if name == "gpu":
        yield Ferried(cuda.Backend(cupy_or_skip())), sizes
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launches, "MOST_BLOCKS", 6)
        patch.setattr(launches, "ROWS_OF_CHUNK", 16)
        yield FUSED[name], sizes


@pytest.fixture(scope="module")
def sizes(compared):
    return compared[1]


# ---- comparison with the definition -----------------------------------------------------


def test_every_loss_and_optimizer_is_compared():
    assert losses_without_test() == set()
    assert {type(optimizer) for optimizer in COMPARED_OPTIMIZERS} == set(OPTIMIZERS.values())


# ---- comparing --------------------------------------------------------------------------


def readable(frozen, *values):
    """Return C-ordered copies, read-only ones if ``frozen``."""
    copies = [np.array(value) for value in values]
    for copy in copies:
        copy.flags.writeable = not frozen
    return copies


def guarded(buffer):
    """Return a copy of a buffer, and the memory around it, which nothing may be written to."""
    if not buffer.flags.c_contiguous:
        return buffer.copy(order="K"), np.zeros(0)
    memory = np.zeros(buffer.size + 2 * MARGIN, buffer.dtype)
    copy = memory[MARGIN:-MARGIN].reshape(buffer.shape)
    copy[...] = buffer
    return copy, memory


@pytest.fixture(scope="module")
def results(compared):
    def results(call, *buffers):
        """Return what ``call(backend, *copies of buffers)`` makes of them: the fused backend's, and as defined."""
        made = []
        for backend in (compared[0], BACKENDS["reference"]):
            pairs = [guarded(buffer) for buffer in buffers]
            with np.errstate(all="ignore"):
                call(backend, *(copy for copy, _ in pairs))
            assert not any(memory[:MARGIN].any() or memory[-MARGIN:].any() for _, memory in pairs if memory.size)
            made.append([copy for copy, _ in pairs])
        return made

    return results


@pytest.fixture(scope="module")
def assert_same(results):
    def assert_same(call, *buffers, scale=1.0):
        """Both backends write the same to ``buffers``, to rounding; ``scale`` bounds what may cancel."""
        fused, defined = results(call, *buffers)
        tolerance = 100 * max(np.finfo(buffer.dtype).eps for buffer in buffers)  # losses are float64 in any case
        for mine, other in zip(fused, defined, strict=True):
            np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * scale)
        return fused

    return assert_same


def poisoned(array, poison):
    """Put ``poison`` into the second row of the first model."""
    if poison is not None:
        array[0, 1, -1] = poison
    return array


def in_theta(sizes, n_models, dtype):
    """Return biases as they come: a view of a longer row of parameters for each model."""
    return normal((n_models, 3 * sizes.units), dtype, seed=1)[:, sizes.units : 2 * sizes.units].reshape(
        n_models, 1, sizes.units
    )


# ---- gather -----------------------------------------------------------------------------


def c_order(table, tmp_path):
    return table


def f_order(table, tmp_path):
    return np.asfortranarray(table)


def strided(table, tmp_path):
    return np.repeat(np.repeat(table, 2, axis=0), 3, axis=1)[::2, ::3]


def reversed_rows(table, tmp_path):
    return table[::-1].copy()[::-1]


def read_only(table, tmp_path):
    return readable(True, table)[0]


def read_only_f_order(table, tmp_path):
    table = np.asfortranarray(table)
    table.flags.writeable = False
    return table


def memory_map(table, tmp_path):
    np.save(tmp_path / "table.npy", table)
    return np.load(tmp_path / "table.npy", mmap_mode="r")


TABLES = [c_order, f_order, strided, reversed_rows, read_only, read_only_f_order, memory_map]


@all_pairs(
    pytest.mark.parametrize("change", TABLES),
    pytest.mark.parametrize("n_streams", [1, 3]),
    pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64]),
)
def test_gather(dtype, n_streams, change, tmp_path, sizes, results):
    table = (10 * normal((11, sizes.units), float)).astype(dtype)
    order = np.stack([np.random.RandomState(s).permutation(11) for s in range(n_streams)])
    clock, out = np.array([2, 4]), np.zeros((n_streams, 3, sizes.units), dtype)
    laid_out = change(table, tmp_path)
    fused, defined = results(lambda backend, out: backend.execute(ops.Gather(laid_out, order, clock, out)), out)
    np.testing.assert_array_equal(fused[0], table[order[:, 4:7]])
    np.testing.assert_array_equal(defined[0], fused[0])


# ---- products ---------------------------------------------------------------------------


@all_pairs(pytest.mark.parametrize("inner", [1, 2]), each_stream, [each_access, each_dtype], each_stack)
def test_matmul(dtype, n_models, frozen, shared, inner, sizes, assert_same):
    """Of what may be one batch for all models with weights that may be transposed views."""
    a = normal((1 if shared else n_models, sizes.rows, inner), dtype)
    (b,) = readable(frozen, normal((n_models, sizes.units, inner), dtype, seed=1))
    assert_same(
        lambda backend, out: backend.execute(ops.MatMul(a, b.swapaxes(1, 2), out)),
        normal((n_models, sizes.rows, sizes.units), dtype),
    )


# ---- bias, activation and their backward ------------------------------------------------


def bias_activation(activation, b):
    def call(backend, z, y):
        backend.execute(ops.BiasActivation(z, b, activation, z if activation.in_place else y))

    return call


@all_pairs(each_poison, [each_access, each_dtype], each_stack, each_activation)
@pytest.mark.fast_share(3)
def test_bias_activation(activation, dtype, n_models, frozen, poison, sizes, assert_same):
    b = in_theta(sizes, n_models, dtype)
    b.flags.writeable = not frozen
    z = poisoned(normal((n_models, sizes.rows, sizes.units), dtype), poison)
    z[:, 0] = -b[:, 0]  # so that sums are exactly zero, a kink of some
    outputs = assert_same(bias_activation(activation, b), z, np.zeros_like(z))
    y = outputs[0 if activation.in_place else 1]
    np.testing.assert_array_equal(np.isnan(y), np.isnan(z))


@all_pairs(each_poison, [each_access, each_dtype], each_stack, each_activation)
@pytest.mark.fast_share(3)
def test_activation_backward(activation, dtype, n_models, frozen, poison, sizes, assert_same):
    z, y = normal((2, n_models, sizes.rows, sizes.units), dtype)
    y[:, 0] = z[:, 0] = 0
    with np.errstate(all="ignore"):
        activation.forward(np, z.copy(), y)
    z, y = readable(frozen, z, y)
    dz = poisoned(normal(z.shape, dtype, seed=2), poison)
    db = np.full((n_models, 1, sizes.units), 7, dtype)  # old values must be overwritten, not added to

    def call(backend, dz, db):
        backend.execute(ops.ActivationBackward(dz, z, y, activation, db))

    new_dz, new_db = assert_same(call, dz, db, scale=sizes.rows)
    if poison is np.nan:
        assert np.isnan(new_dz[0, 1, -1]) and np.isnan(new_db[0, 0, -1])


@not_on_a_gpu
@each_dtype
@each_activation
def test_nan_outputs_are_treated_alike_by_both(activation, dtype, sizes, assert_same):
    z, dz = normal((2, 2, sizes.rows, sizes.units), dtype)
    y = poisoned(z.copy(), np.nan)

    def call(backend, dz, db):
        backend.execute(ops.ActivationBackward(dz, z, y, activation, db))

    assert_same(call, dz, np.zeros((2, 1, sizes.units), dtype))


@all_pairs(each_poison, each_stream, each_stack, each_dtype)
def test_prelu(dtype, n_models, shared, poison, sizes, assert_same):
    """With slopes for each unit or one for all; they and their gradients are views of a longer row."""
    slope = np.abs(normal((n_models, 1, 1 if shared else sizes.units), dtype, seed=3))
    z, dz = (
        poisoned(normal((n_models, sizes.rows, sizes.units), dtype), poison),
        normal((n_models, sizes.rows, sizes.units), dtype, seed=4),
    )
    b = in_theta(sizes, n_models, dtype)
    z[:, 0] = -b[:, 0]
    assert_same(lambda backend, z, y: backend.execute(ops.BiasPReLU(z, b, slope, y)), z, np.zeros_like(z))

    def backward(backend, dz, db, gradients):
        d_slope = gradients[:, 3 : 3 + slope.shape[2]].reshape(slope.shape)
        backend.execute(ops.PReLUBackward(dz, z, slope, d_slope, db))

    assert_same(
        backward, dz, np.zeros_like(b), np.zeros((n_models, sizes.units + 9), dtype), scale=sizes.rows * sizes.units
    )


@all_pairs(each_poison, each_stack, each_dtype)
def test_maxout(dtype, n_models, poison, sizes, assert_same, results):
    z = poisoned(np.round(normal((n_models, sizes.rows, 3 * sizes.units), dtype)), poison)  # with some that are equal
    choice, y = (
        np.zeros((n_models, sizes.rows, sizes.units), np.intp),
        np.zeros((n_models, sizes.rows, sizes.units), dtype),
    )
    (choice, y), defined = results(lambda backend, choice, y: backend.execute(ops.Maxout(z, choice, y)), choice, y)
    np.testing.assert_array_equal(choice, defined[0])
    np.testing.assert_array_equal(y, defined[1])
    assert_same(lambda backend, dz: backend.execute(ops.MaxoutBackward(y, choice, dz)), np.zeros_like(z))


@all_pairs(each_poison, each_stack, each_dtype)
def test_scale_backward(dtype, n_models, poison, sizes, assert_same):
    x, gain = normal((n_models, sizes.rows, sizes.units), dtype), in_theta(sizes, n_models, dtype)
    d, inverse = (
        poisoned(normal(x.shape, dtype, seed=2), poison),
        np.abs(normal((n_models, 1, sizes.units), dtype, seed=3)),
    )

    def call(backend, d, d_gain):
        backend.execute(ops.ScaleBackward(d, x, inverse, gain, d_gain))

    assert_same(call, d, np.zeros_like(inverse), scale=sizes.rows)


@all_pairs(pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"]), each_stack, each_dtype)
def test_track_moments(dtype, n_models, shared, sizes, assert_same):
    """Of three parts, the second without weight; there are more rows and units than a warp has threads."""
    rng, bounds = np.random.default_rng(0), np.array([0, sizes.rows // 2, sizes.rows - 2, sizes.rows])
    weight = rng.uniform(0.5, 2, (1 if shared else n_models, sizes.rows)).astype(dtype)
    weight[:, bounds[1] : bounds[2]] = 0
    mean, variance = rng.random((2, n_models, 3, sizes.units)).astype(dtype)

    def call(backend, means, variances, updates):
        kept = ops.RunningMoments(means, variances, updates)
        backend.execute(ops.TrackMoments(mean, variance, weight, bounds, 0.3, kept))

    _, _, updates = assert_same(call, *np.ones((2, n_models, 1, sizes.units), dtype), np.ones((n_models, 1, 1), dtype))
    assert (updates == 3).all()


@all_pairs(each_poison, pytest.mark.parametrize("n_groups", [1, 5]), each_stack, each_dtype)
def test_standardize_groups(dtype, n_models, n_groups, poison, sizes, assert_same):
    x, gain = (
        poisoned(normal((n_models, sizes.rows, 10 * sizes.units), dtype), poison),
        normal((n_models, 10 * sizes.units), dtype),
    )
    gain, inverse = np.pad(gain, ((0, 0), (2, 3)))[:, None, 2:-3], np.zeros((n_models, sizes.rows, n_groups), dtype)

    def forward(backend, x, inverse, y):
        backend.execute(ops.StandardizeGroups(x, 1e-3, inverse, gain, y))

    x, inverse, _ = assert_same(forward, x, inverse, np.zeros_like(x))
    d, d_gain = normal(x.shape, dtype, seed=5), np.zeros_like(gain)

    def backward(backend, d, d_gain):
        backend.execute(ops.StandardizeGroupsBackward(d, x, inverse, gain, d_gain))

    assert_same(backward, d, d_gain, scale=10 * sizes.units)


@all_pairs(pytest.mark.parametrize("seen", [0, 4, 7, 25, 100]), each_stack, each_dtype)
def test_renorm(dtype, n_models, seen, sizes, assert_same):
    norm = BatchRenorm(r_max=1.5, d_max=0.7, start_step=4, r_end=20, d_end=30)
    mean, inverse, means, variances = np.abs(normal((4, n_models, 1, sizes.units), dtype)) + dtype(0.1)
    kept = ops.RunningMoments(means, variances, np.full((n_models, 1, 1), seen, dtype))
    bounds = [np.zeros_like(mean) for _ in range(2)]
    assert_same(lambda backend, r, d: backend.execute(ops.Renorm(mean, inverse, kept, norm, r, d)), *bounds)


@all_pairs(each_poison, each_stack, each_dtype)
def test_normalize_weights(dtype, n_models, poison, sizes, assert_same):
    v, gain = poisoned(normal((n_models, sizes.rows, sizes.units), dtype), poison), in_theta(sizes, n_models, dtype)
    v[:, :, 1] = 0  # a unit without a direction
    inverse, W = np.zeros((n_models, 1, sizes.units), dtype), np.zeros_like(v)

    def forward(backend, inverse, W):
        backend.execute(ops.NormalizeWeights(v, gain, inverse, W))

    inverse, _ = assert_same(forward, inverse, W)
    dW, d_gain = normal(v.shape, dtype, seed=6), np.zeros_like(inverse)

    def backward(backend, dv, d_gain):
        backend.execute(ops.NormalizeWeightsBackward(dW, v, gain, inverse, dv, d_gain))

    assert_same(backward, np.zeros_like(v), d_gain, scale=sizes.rows)


FAR_OUT = [0, 1, 20, 100, 1e3, 1e30, np.inf]


def far_out(sizes, dtype):
    """Return inputs up to infinity and NaN, in rows long enough for vector code to meet each in every place."""
    ends = np.array([*FAR_OUT, *np.negative(FAR_OUT), np.nan], dtype)
    return np.resize(ends, (2, sizes.rows, 67)), np.zeros((2, 1, 67), dtype)


@each_dtype
@each_activation
def test_bias_activation_far_out(activation, dtype, sizes, assert_same):
    z, b = far_out(sizes, dtype)
    assert_same(bias_activation(activation, b), z, np.zeros_like(z))


@each_dtype
@each_activation
def test_activation_backward_far_out(activation, dtype, sizes, assert_same):
    z, db = far_out(sizes, dtype)
    y = np.empty_like(z)
    with np.errstate(all="ignore"):
        activation.forward(np, z.copy(), y)

    def call(backend, dz, db):
        backend.execute(ops.ActivationBackward(dz, z, y, activation, db))

    assert_same(call, normal(z.shape, dtype), db, scale=sizes.rows)


# ---- losses -----------------------------------------------------------------------------


def loss_case(sizes, loss, dtype, n_models, shared, frozen, z=None):
    """Return the call and its buffers, at step 1 of 3, with a row of no weight."""
    rng = np.random.default_rng(3)
    n_streams = 1 if shared else n_models
    z = normal((n_models, sizes.rows, sizes.units), dtype) if z is None else z
    y = random_targets(loss, rng, (n_streams, *z.shape[1:]), dtype)
    weight, scale = rng.uniform(0, 2, (n_streams, z.shape[1])), rng.uniform(0.1, 1, (3, n_models))
    weight[:, 1] = 0
    z, y, weight, scale, clock = readable(
        frozen, z, y, weight.astype(dtype), scale.astype(dtype), np.array([1, sizes.rows])
    )

    def call(backend, dz, losses):
        backend.execute(ops.LossGradient(loss, z, y, weight, scale, clock, dz, losses))

    return call, np.full(z.shape, np.nan, dtype), np.full((3, n_models), 9.0)


@all_pairs([each_access, each_dtype], each_stream, each_stack, each_loss)
def test_loss_gradient(loss, dtype, n_models, shared, frozen, sizes, assert_same):
    call, dz, losses = loss_case(sizes, loss, dtype, n_models, shared, frozen)
    _, losses = assert_same(call, dz, losses)
    np.testing.assert_array_equal(losses[[0, 2]], 9.0)  # only this step's entry is written


@not_on_a_gpu
@pytest.mark.parametrize(
    "loss", [SoftmaxLogLoss(0), Huber(2), Huber(np.float64(0.3)), Quantile(np.float32(0.3))], ids=repr
)
@each_dtype
def test_numbers_of_losses_may_have_other_types(loss, dtype, sizes, assert_same):
    call, dz, losses = loss_case(sizes, loss, dtype, 3, False, False)
    assert_same(call, dz, losses)


@pytest.mark.parametrize("size", [1e3, 1e30])
@each_dtype
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "poisson"])
def test_loss_gradient_of_extreme_outputs(name, dtype, size, sizes, assert_same):
    z = normal((3, sizes.rows, sizes.units), dtype) * dtype(min(size, np.sqrt(np.finfo(dtype).max) / 1e3))
    call, *buffers = loss_case(sizes, LOSSES[name], dtype, 3, False, False, z)
    largest = float(np.abs(z).max())
    assert_same(call, *buffers, scale=largest if name != "squared_error" else largest**2)


@all_pairs(each_poison, each_dtype, each_loss)
def test_loss_gradient_of_outputs_that_are_not_finite(loss, dtype, poison, sizes, assert_same):
    poison = np.nan if poison is None else poison
    z = normal((2, sizes.rows, sizes.units), dtype)
    z[0, 2, 1] = poison
    z[1, 2, 0] = poison
    call, *buffers = loss_case(sizes, loss, dtype, 2, False, False, z)
    dz, losses = assert_same(call, *buffers)
    if np.isnan(poison):
        assert np.isnan(losses[1]).all()
        assert np.isnan(dz[0, 2, 1]) and np.isnan(dz[1, 2, 0])


@all_pairs(pytest.mark.parametrize("size", [1.0, 1e3]), each_poison, each_stack, each_dtype, each_loss)
def test_link(loss, dtype, n_models, poison, size, sizes, assert_same):
    z = poisoned(normal((n_models, sizes.rows, sizes.units), dtype) * dtype(size), poison)
    assert_same(lambda backend, z: backend.execute(ops.Link(loss, z)), z)


# ---- updates ----------------------------------------------------------------------------


def update_case(sizes, optimizer, dtype, n_models, frozen):
    """Return the call, grad and buffers, at step 1 of 3, with other hyper-parameters for each model."""
    rng = np.random.default_rng(4)
    constants = np.array([optimizer.constants()] * n_models)
    constants[1:, :2] *= 0.75
    rate, second_rate, scale = rng.uniform(0.1, 1, (3, 3, n_models))
    second = optimizer.second_rates(1.0, np.ones(1, int))
    tables = readable(
        frozen, *(part.astype(dtype) for part in (constants, np.arange(n_models), rate, second_rate, scale))
    )
    constants, alpha, rate, second_rate, scale = tables
    (clock,) = readable(frozen, np.array([1, 5]))
    theta, grad = normal((2, n_models, sizes.parameters), dtype)
    slots = np.abs(normal((optimizer.n_slots, n_models, sizes.parameters), dtype, seed=5))

    def call(backend, theta, slots, losses):
        tables = Tables(clock, None, scale, rate, losses, None if second is None else second_rate)
        # a copy, because an update leaves grad undefined
        backend.execute(ops.Update(optimizer, theta, grad.copy(), slots, constants, alpha, sizes.decayed, tables))
        for buffer in (theta, slots):
            buffer[np.isinf(buffer)] = np.nan  # one is as lost as the other, and inf - inf depends on the order

    return call, grad, [theta, slots, np.full((3, n_models), 9.0)]


@all_pairs(each_poison, [each_access, each_dtype], each_stack, each_optimizer)
@pytest.mark.fast_share(4)
def test_update(optimizer, dtype, n_models, frozen, poison, sizes, assert_same):
    call, grad, buffers = update_case(sizes, optimizer, dtype, n_models, frozen)
    if poison is not None:
        grad[0, [2, -2]] = poison
    theta, _, losses = assert_same(call, *buffers)
    is_lost = poison is not None and not (isinstance(optimizer, Lion) and np.isinf(poison))  # its sign says enough
    np.testing.assert_array_equal(np.isnan(theta[0, [2, -2]]), is_lost)
    np.testing.assert_array_equal(losses[[0, 2]], 9.0)  # only this step's entry is written


@not_on_a_gpu
@each_dtype
@each_optimizer
def test_a_nan_parameter_shows_in_the_loss(optimizer, dtype, sizes, assert_same):
    call, _, (theta, slots, losses) = update_case(sizes, optimizer, dtype, 3, False)
    theta[1, 2] = np.nan
    *_, losses = assert_same(call, theta, slots, losses)
    np.testing.assert_array_equal(np.isnan(losses[1]), [False, True, False])


@all_pairs(each_access, each_stack, each_dtype)
def test_shrink(dtype, n_models, frozen, sizes, assert_same):
    shrinkage = np.linspace(0.1, 1, 3 * n_models).reshape(3, n_models).astype(dtype)
    shrinkage, clock = readable(frozen, shrinkage, np.array([1, 5, 0]))
    theta = normal((n_models, sizes.parameters), dtype)
    assert_same(lambda backend, theta: backend.execute(ops.Shrink(theta, sizes.decayed, shrinkage, clock)), theta)


# ---- preprocessing ----------------------------------------------------------------------


@all_pairs(
    each_poison,
    [each_access, pytest.mark.parametrize("kernel", ["shift_scale", "scale_shift"])],
    [pytest.mark.parametrize("statistics", [np.float32, np.float64]), each_dtype],
)
def test_scaling(dtype, statistics, kernel, frozen, poison, sizes, assert_same):
    first, second = readable(frozen, *normal((2, sizes.units), statistics, seed=1))
    x = poisoned(normal((1, sizes.rows, sizes.units), dtype), poison)[0]
    assert_same(lambda backend, x: getattr(backend, kernel)(x, first, second), x, scale=1000)


# ---- any numbers at all -----------------------------------------------------------------


def floats_of(dtype, **limits):
    return st.floats(width=8 * np.dtype(dtype).itemsize, **limits)


@of_its_own_sizes
@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu"])
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
@pytest.mark.fast_share(5)
def test_bias_activation_of_any_numbers_to_the_bit(name, dtype, data, results):
    z, b = (data.draw(arrays(dtype, (1, rows, 3), elements=floats_of(dtype))) for rows in (4, 1))
    fused, defined = results(bias_activation(ACTIVATIONS[name], b), z, z)
    np.testing.assert_array_equal(fused[0], defined[0])


@pytest.mark.slow
@of_its_own_sizes
@each_activation
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
def test_bias_activation_of_any_numbers(activation, dtype, data, assert_same):
    z, b = (data.draw(arrays(dtype, (1, rows, 3), elements=floats_of(dtype))) for rows in (4, 1))
    assert_same(bias_activation(activation, b), z, np.zeros_like(z))


@of_its_own_sizes
@pytest.mark.parametrize("name", ["softmax_log_loss", "binary_log_loss"])
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
def test_log_losses_of_any_finite_outputs(name, dtype, data, sizes, assert_same):
    limits = {"min_value": -(2.0**100), "max_value": 2.0**100}
    z = data.draw(arrays(dtype, (1, 4, 3), elements=floats_of(dtype, **limits)))
    call, *buffers = loss_case(sizes, LOSSES[name], dtype, 1, True, False, z)
    dz, losses = assert_same(call, *buffers, scale=1 + float(np.abs(z).max()))
    assert np.isfinite(dz).all() and np.isfinite(losses[1]).all()
