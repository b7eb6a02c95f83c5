"""Every kernel that a backend overrides equals its definition in the reference backend; those of CUDA by simulation."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sknn._backend import reference
from sknn._backend.cpu import backend as cpu
from sknn._backend.cuda import backend as cuda
from sknn._backend.cuda import launches
from sknn._core.epoch import Tables
from sknn.activations import ACTIVATIONS, ELU, GELU, BoundPReLU, LeakyReLU
from sknn.losses import Huber, Quantile, SoftmaxLogLoss
from sknn.normalization import BatchRenorm
from sknn.optimizers import OPTIMIZERS, SGD, Adadelta, Adagrad, Adam, AdamW, AMSGrad, Lion, NAdam, RMSprop
from tests.helpers import BACKENDS, ELEMENTWISE, LOSSES, losses_without_test, random_targets

COMPARED_ACTIVATIONS = {
    **ELEMENTWISE,
    **{"leaky_relu of 0.3": LeakyReLU(0.3), "elu of 0.5": ELU(0.5), "gelu by tanh": GELU("tanh")},
}
COMPARED_OPTIMIZERS = [
    *(SGD(), SGD(0.5, False), SGD(0.0), Adam(), Adam(0.5, 0.9, 1e-2), AdamW(), AMSGrad(), NAdam(), Adagrad(1e-2)),
    *(Adadelta(), Adadelta(0.5, 1e-2), RMSprop(), RMSprop(0.5, 0.5, 1e-2), RMSprop(0.9, 0.5, 1.0, True), Lion()),
]
COMPARED = {
    *("gather", "matmul", "transpose", "bias_activation", "activation_backward", "loss_gradient", "link", "update"),
    *("shift_scale", "scale_shift", "shrink", "renorm", "normalize_weights", "normalize_weights_backward"),
    *(
        "track_moments",
        "scale_backward",
        "maxout",
        "maxout_backward",
        "standardize_groups",
        "standardize_groups_backward",
    ),
}
COMPARED_ELSEWHERE = {
    *("run", "column_moments", "column_extremes", "group_moments", "has_infinity", "center", "one_blas_thread"),
    *("prepare", "advance"),  # test_program.py, test_cuda.py
    *("clip_norm", "add_l1", "limit_norms"),  # tests/test_regularization.py
    *("dropout", "dropout_backward"),  # tests/test_dropout.py
    *("batch_moments", "standardize", "standardize_backward"),  # tests/test_normalization.py
    "average",  # tests/test_stopping.py
}
OF_THE_DEVICE = {  # tests/test_memory.py, test_cuda.py
    *("name", "block_elements", "chunk_elements", "product_elements", "segment_elements", "to_host"),
    *("holds", "has_room", "has_room_for_copy", "explained_lack", "ring"),
    *("pointer", "launch", "bounds"),
}
FUSED = {name: backend for name, backend in BACKENDS.items() if name != "reference"}
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_stack = pytest.mark.parametrize("n_models", [1, 3])
each_stream = pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
each_access = pytest.mark.parametrize("frozen", [False, True], ids=["writeable", "read_only"])
each_poison = pytest.mark.parametrize("poison", [None, np.nan, np.inf, -np.inf], ids=str)
each_activation = pytest.mark.parametrize("activation", COMPARED_ACTIVATIONS.values(), ids=COMPARED_ACTIVATIONS)
MARGIN = 64


class Sizes(NamedTuple):
    """Of what kernels are compared on."""

    rows: int
    units: int
    parameters: int
    decayed: int


# Fused loops see a vector and a rest in few numbers; of a GPU there are to be several blocks each way, with a rest.
FEW, MANY = Sizes(6, 5, 37, 30), Sizes(37, 70, 1500, 1100)


SETS = [("cpu", FEW), *(pytest.param(("cuda", sizes), marks=pytest.mark.slow) for sizes in (FEW, MANY))]


@pytest.fixture(scope="module", params=SETS, ids=lambda pair: f"{pair[0]}-{pair[1].rows}", autouse=True)
def fused_backend(request):
    """The backend that is compared with the definitions, and on what."""
    compare(FUSED[request.param[0]], request.param[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launches, "MOST_BLOCKS", 6)
        patch.setattr(launches, "ROWS_OF_CHUNK", 16)
        yield


def compare(backend, sizes):
    """Compare a backend on some sizes from here on."""
    global compared_backend, ROWS, UNITS, N_PARAMETERS, N_DECAYED
    compared_backend, (ROWS, UNITS, N_PARAMETERS, N_DECAYED) = backend, sizes


# ---- what is compared -------------------------------------------------------------------


@pytest.mark.parametrize("backend", [cpu.Backend, cuda.Backend])
def test_every_overridden_kernel_is_compared(backend):
    overridden = {name for name in vars(backend) if not name.startswith("_")} - OF_THE_DEVICE
    assert overridden <= COMPARED | COMPARED_ELSEWHERE
    assert overridden <= set(dir(reference.Backend))


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


def results(call, *buffers):
    """Return what ``call(backend, *copies of buffers)`` makes of the copies: the fused backend's, and as defined."""
    made = []
    for backend in (compared_backend, BACKENDS["reference"]):
        pairs = [guarded(buffer) for buffer in buffers]
        with np.errstate(all="ignore"):
            call(backend, *(copy for copy, _ in pairs))
        assert not any(memory[:MARGIN].any() or memory[-MARGIN:].any() for _, memory in pairs if memory.size)
        made.append([copy for copy, _ in pairs])
    return made


def assert_same(call, *buffers, scale=1.0):
    """Both backends write the same to ``buffers``, to rounding; ``scale`` bounds what may cancel."""
    fused, defined = results(call, *buffers)
    tolerance = 100 * max(np.finfo(buffer.dtype).eps for buffer in buffers)  # losses are float64 in any case
    for mine, other in zip(fused, defined, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * scale)
    return fused


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def poisoned(array, poison):
    """Put ``poison`` into the second row of the first model."""
    if poison is not None:
        array[0, 1, -1] = poison
    return array


def in_theta(n_models, dtype):
    """Return biases as they come: a view of a longer row of parameters for each model."""
    return normal((n_models, 3 * UNITS), dtype, seed=1)[:, UNITS : 2 * UNITS].reshape(n_models, 1, UNITS)


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


@pytest.mark.parametrize("change", TABLES)
@pytest.mark.parametrize("n_streams", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_gather(dtype, n_streams, change, tmp_path):
    table = (10 * normal((11, UNITS), float)).astype(dtype)
    order = np.stack([np.random.RandomState(s).permutation(11) for s in range(n_streams)])
    clock, out = np.array([2, 4]), np.zeros((n_streams, 3, UNITS), dtype)
    laid_out = change(table, tmp_path)
    fused, defined = results(lambda backend, out: backend.gather(laid_out, order, clock, out), out)
    np.testing.assert_array_equal(fused[0], table[order[:, 4:7]])
    np.testing.assert_array_equal(defined[0], fused[0])


# ---- products ---------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@each_access
@each_stack
@each_dtype
def test_matmul(dtype, n_models, frozen, shared, inner):
    """Of what may be one batch for all models with weights that may be transposed views."""
    a = normal((1 if shared else n_models, ROWS, inner), dtype)
    (b,) = readable(frozen, normal((n_models, UNITS, inner), dtype, seed=1))
    assert_same(lambda backend, out: backend.matmul(a, b.swapaxes(1, 2), out), normal((n_models, ROWS, UNITS), dtype))


@each_stack
@each_dtype
def test_transpose(dtype, n_models):
    source = normal((n_models, ROWS, UNITS), dtype)
    assert_same(lambda backend, out: backend.transpose(source, out), np.empty((n_models, UNITS, ROWS), dtype))


# ---- bias, activation and their backward ------------------------------------------------


def bias_activation(activation, b):
    def call(backend, z, y):
        backend.bias_activation(z, b, activation, z if activation.in_place else y)

    return call


@each_poison
@each_access
@each_stack
@each_dtype
@each_activation
def test_bias_activation(activation, dtype, n_models, frozen, poison):
    b = in_theta(n_models, dtype)
    b.flags.writeable = not frozen
    z = poisoned(normal((n_models, ROWS, UNITS), dtype), poison)
    z[:, 0] = -b[:, 0]  # so that sums are exactly zero, a kink of some
    outputs = assert_same(bias_activation(activation, b), z, np.zeros_like(z))
    y = outputs[0 if activation.in_place else 1]
    np.testing.assert_array_equal(np.isnan(y), np.isnan(z))


@each_poison
@each_access
@each_stack
@each_dtype
@each_activation
def test_activation_backward(activation, dtype, n_models, frozen, poison):
    z, y = normal((2, n_models, ROWS, UNITS), dtype)
    y[:, 0] = z[:, 0] = 0
    with np.errstate(all="ignore"):
        activation.forward(np, z.copy(), y)
    z, y = readable(frozen, z, y)
    dz = poisoned(normal(z.shape, dtype, seed=2), poison)
    db = np.full((n_models, 1, UNITS), 7, dtype)  # what was there before must not count

    def call(backend, dz, db):
        backend.activation_backward(dz, z, y, activation, db)

    new_dz, new_db = assert_same(call, dz, db, scale=ROWS)
    if poison is np.nan:
        assert np.isnan(new_dz[0, 1, -1]) and np.isnan(new_db[0, 0, -1])


@each_dtype
@each_activation
def test_nan_outputs_are_treated_alike_by_both(activation, dtype):
    z, dz = normal((2, 2, ROWS, UNITS), dtype)
    y = poisoned(z.copy(), np.nan)

    def call(backend, dz, db):
        backend.activation_backward(dz, z, y, activation, db)

    assert_same(call, dz, np.zeros((2, 1, UNITS), dtype))


@each_poison
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@each_stack
@each_dtype
def test_prelu(dtype, n_models, shared, poison):
    """With slopes for each unit or one for all; they and their gradients are views of a longer row."""
    slope = np.abs(normal((n_models, 1, 1 if shared else UNITS), dtype, seed=3))
    z, dz = poisoned(normal((n_models, ROWS, UNITS), dtype), poison), normal((n_models, ROWS, UNITS), dtype, seed=4)
    b = in_theta(n_models, dtype)
    z[:, 0] = -b[:, 0]
    assert_same(lambda backend, z, y: backend.bias_activation(z, b, BoundPReLU(slope, None), y), z, np.zeros_like(z))

    def backward(backend, dz, db, gradients):
        d_slope = gradients[:, 3 : 3 + slope.shape[2]].reshape(slope.shape)
        backend.activation_backward(dz, z, z, BoundPReLU(slope, d_slope), db)

    assert_same(backward, dz, np.zeros_like(b), np.zeros((n_models, UNITS + 9), dtype), scale=ROWS * UNITS)


@each_poison
@each_stack
@each_dtype
def test_maxout(dtype, n_models, poison):
    z = poisoned(np.round(normal((n_models, ROWS, 3 * UNITS), dtype)), poison)  # with some that are equal
    choice, y = np.zeros((n_models, ROWS, UNITS), np.intp), np.zeros((n_models, ROWS, UNITS), dtype)
    (choice, y), defined = results(lambda backend, choice, y: backend.maxout(z, choice, y), choice, y)
    np.testing.assert_array_equal(choice, defined[0])
    np.testing.assert_array_equal(y, defined[1])
    assert_same(lambda backend, dz: backend.maxout_backward(y, choice, dz), np.zeros_like(z))


@each_poison
@each_stack
@each_dtype
def test_scale_backward(dtype, n_models, poison):
    x, gain = normal((n_models, ROWS, UNITS), dtype), in_theta(n_models, dtype)
    d, inverse = poisoned(normal(x.shape, dtype, seed=2), poison), np.abs(normal((n_models, 1, UNITS), dtype, seed=3))

    def call(backend, d, d_gain):
        backend.scale_backward(d, x, inverse, gain, d_gain)

    assert_same(call, d, np.zeros_like(inverse), scale=ROWS)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@each_stack
@each_dtype
def test_track_moments(dtype, n_models, shared):
    """Of three parts, the second without weight; there are more rows and units than a warp has threads."""
    rng, bounds = np.random.default_rng(0), np.array([0, ROWS // 2, ROWS - 2, ROWS])
    weight = rng.uniform(0.5, 2, (1 if shared else n_models, ROWS)).astype(dtype)
    weight[:, bounds[1] : bounds[2]] = 0
    mean, variance = rng.random((2, n_models, 3, UNITS)).astype(dtype)

    def call(backend, means, variances, updates):
        kept = {"means": means, "variances": variances, "updates": updates}
        backend.track_moments(mean, variance, weight, bounds, 0.3, kept)

    _, _, updates = assert_same(call, *np.ones((2, n_models, 1, UNITS), dtype), np.ones((n_models, 1, 1), dtype))
    assert (updates == 3).all()


@each_poison
@pytest.mark.parametrize("n_groups", [1, 5])
@each_stack
@each_dtype
def test_standardize_groups(dtype, n_models, n_groups, poison):
    x, gain = poisoned(normal((n_models, ROWS, 10 * UNITS), dtype), poison), normal((n_models, 10 * UNITS), dtype)
    gain, inverse = np.pad(gain, ((0, 0), (2, 3)))[:, None, 2:-3], np.zeros((n_models, ROWS, n_groups), dtype)

    def forward(backend, x, inverse, y):
        backend.standardize_groups(x, 1e-3, inverse, gain, y)

    x, inverse, _ = assert_same(forward, x, inverse, np.zeros_like(x))
    d, d_gain = normal(x.shape, dtype, seed=5), np.zeros_like(gain)

    def backward(backend, d, d_gain):
        backend.standardize_groups_backward(d, x, inverse, gain, d_gain)

    assert_same(backward, d, d_gain, scale=10 * UNITS)


@pytest.mark.parametrize("seen", [0, 4, 7, 25, 100])
@each_stack
@each_dtype
def test_renorm(dtype, n_models, seen):
    norm = BatchRenorm(r_max=1.5, d_max=0.7, start_step=4, r_end=20, d_end=30)
    mean, inverse, means, variances = np.abs(normal((4, n_models, 1, UNITS), dtype)) + dtype(0.1)
    kept = {"means": means, "variances": variances, "updates": np.full((n_models, 1, 1), seen, dtype)}
    bounds = [np.zeros_like(mean) for _ in range(2)]
    assert_same(lambda backend, r, d: backend.renorm(mean, inverse, kept, norm, r, d), *bounds)


@each_poison
@each_stack
@each_dtype
def test_normalize_weights(dtype, n_models, poison):
    v, gain = poisoned(normal((n_models, ROWS, UNITS), dtype), poison), in_theta(n_models, dtype)
    v[:, :, 1] = 0  # a unit without a direction
    inverse, W = np.zeros((n_models, 1, UNITS), dtype), np.zeros_like(v)

    def forward(backend, inverse, W):
        backend.normalize_weights(v, gain, inverse, W)

    inverse, _ = assert_same(forward, inverse, W)
    dW, d_gain = normal(v.shape, dtype, seed=6), np.zeros_like(inverse)

    def backward(backend, dv, d_gain):
        backend.normalize_weights_backward(dW, v, gain, inverse, dv, d_gain)

    assert_same(backward, np.zeros_like(v), d_gain, scale=ROWS)


FAR_OUT = [0, 1, 20, 100, 1e3, 1e30, np.inf]


def far_out(dtype):
    """Return inputs up to infinity and NaN, in rows long enough for vector code to meet each in every place."""
    ends = np.array([*FAR_OUT, *np.negative(FAR_OUT), np.nan], dtype)
    return np.resize(ends, (2, ROWS, 67)), np.zeros((2, 1, 67), dtype)


@each_dtype
@each_activation
def test_bias_activation_far_out(activation, dtype):
    z, b = far_out(dtype)
    assert_same(bias_activation(activation, b), z, np.zeros_like(z))


@each_dtype
@each_activation
def test_activation_backward_far_out(activation, dtype):
    z, db = far_out(dtype)
    y = np.empty_like(z)
    with np.errstate(all="ignore"):
        activation.forward(np, z.copy(), y)

    def call(backend, dz, db):
        backend.activation_backward(dz, z, y, activation, db)

    assert_same(call, normal(z.shape, dtype), db, scale=ROWS)


# ---- losses -----------------------------------------------------------------------------


def loss_case(loss, dtype, n_models, shared, frozen, z=None):
    """Return the call and its buffers, at step 1 of 3, with a row of no weight."""
    rng = np.random.default_rng(3)
    n_streams = 1 if shared else n_models
    z = normal((n_models, ROWS, UNITS), dtype) if z is None else z
    y = random_targets(loss, rng, (n_streams, *z.shape[1:]), dtype)
    weight, scale = rng.uniform(0, 2, (n_streams, z.shape[1])), rng.uniform(0.1, 1, (3, n_models))
    weight[:, 1] = 0
    z, y, weight, scale, clock = readable(frozen, z, y, weight.astype(dtype), scale.astype(dtype), np.array([1, ROWS]))

    def call(backend, dz, losses):
        backend.loss_gradient(loss, z, y, weight, scale, clock, dz, losses)

    return call, np.full(z.shape, np.nan, dtype), np.full((3, n_models), 9.0)


@each_access
@each_stream
@each_stack
@each_dtype
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_loss_gradient(loss, dtype, n_models, shared, frozen):
    call, dz, losses = loss_case(loss, dtype, n_models, shared, frozen)
    _, losses = assert_same(call, dz, losses)
    np.testing.assert_array_equal(losses[[0, 2]], 9.0)  # only this step's entry is written


@pytest.mark.parametrize(
    "loss", [SoftmaxLogLoss(0), Huber(2), Huber(np.float64(0.3)), Quantile(np.float32(0.3))], ids=repr
)
@each_dtype
def test_numbers_of_losses_may_have_other_types(loss, dtype):
    call, dz, losses = loss_case(loss, dtype, 3, False, False)
    assert_same(call, dz, losses)


@pytest.mark.parametrize("size", [1e3, 1e30])
@each_dtype
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "poisson"])
def test_loss_gradient_of_extreme_outputs(name, dtype, size):
    z = normal((3, ROWS, UNITS), dtype) * dtype(min(size, np.sqrt(np.finfo(dtype).max) / 1e3))
    call, *buffers = loss_case(LOSSES[name], dtype, 3, False, False, z)
    largest = float(np.abs(z).max())
    assert_same(call, *buffers, scale=largest if name != "squared_error" else largest**2)


@each_poison
@each_dtype
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_loss_gradient_of_outputs_that_are_not_finite(loss, dtype, poison):
    poison = np.nan if poison is None else poison
    z = normal((2, ROWS, UNITS), dtype)
    z[0, 2, 1] = poison
    z[1, 2, 0] = poison
    call, *buffers = loss_case(loss, dtype, 2, False, False, z)
    dz, losses = assert_same(call, *buffers)
    if np.isnan(poison):
        assert np.isnan(losses[1]).all()
        assert np.isnan(dz[0, 2, 1]) and np.isnan(dz[1, 2, 0])


@pytest.mark.parametrize("size", [1.0, 1e3])
@each_poison
@each_stack
@each_dtype
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_link(loss, dtype, n_models, poison, size):
    z = poisoned(normal((n_models, ROWS, UNITS), dtype) * dtype(size), poison)
    assert_same(lambda backend, z: backend.link(loss, z), z)


# ---- updates ----------------------------------------------------------------------------


def update_case(optimizer, dtype, n_models, frozen):
    """Return the call, grad and buffers, at step 1 of 3, with other hyper-parameters for each model."""
    rng = np.random.default_rng(4)
    hyper = np.array([optimizer.hyper()] * n_models)
    hyper[1:, :2] *= 0.75
    rate, second_rate, scale = rng.uniform(0.1, 1, (3, 3, n_models))
    second = optimizer.second_rates(1.0, np.ones(1, int))
    tables = readable(frozen, *(part.astype(dtype) for part in (hyper, np.arange(n_models), rate, second_rate, scale)))
    hyper, alpha, rate, second_rate, scale = tables
    (clock,) = readable(frozen, np.array([1, 5]))
    theta, grad = normal((2, n_models, N_PARAMETERS), dtype)
    slots = np.abs(normal((optimizer.n_slots, n_models, N_PARAMETERS), dtype, seed=5))

    def call(backend, theta, slots, losses):
        tables = Tables(clock, None, scale, rate, losses, None if second is None else second_rate)
        # a copy, because an update leaves grad undefined
        backend.update(optimizer, theta, grad.copy(), slots, hyper, alpha, N_DECAYED, tables)
        for buffer in (theta, slots):
            buffer[np.isinf(buffer)] = np.nan  # one is as lost as the other, and inf - inf depends on the order

    return call, grad, [theta, slots, np.full((3, n_models), 9.0)]


@each_poison
@each_access
@each_stack
@each_dtype
@pytest.mark.parametrize("optimizer", COMPARED_OPTIMIZERS, ids=str)
def test_update(optimizer, dtype, n_models, frozen, poison):
    call, grad, buffers = update_case(optimizer, dtype, n_models, frozen)
    if poison is not None:
        grad[0, [2, -2]] = poison
    theta, _, losses = assert_same(call, *buffers)
    is_lost = poison is not None and not (isinstance(optimizer, Lion) and np.isinf(poison))  # its sign says enough
    np.testing.assert_array_equal(np.isnan(theta[0, [2, -2]]), is_lost)
    np.testing.assert_array_equal(losses[[0, 2]], 9.0)  # only this step's entry is written


@each_dtype
@pytest.mark.parametrize("optimizer", COMPARED_OPTIMIZERS, ids=str)
def test_a_nan_parameter_shows_in_the_loss(optimizer, dtype):
    call, _, (theta, slots, losses) = update_case(optimizer, dtype, 3, False)
    theta[1, 2] = np.nan
    *_, losses = assert_same(call, theta, slots, losses)
    np.testing.assert_array_equal(np.isnan(losses[1]), [False, True, False])


@each_access
@each_stack
@each_dtype
def test_shrink(dtype, n_models, frozen):
    shrinkage, clock = readable(frozen, np.linspace(0.1, 1, 3 * n_models).reshape(3, n_models), np.array([1, 5, 0]))
    tables = Tables(clock, None, None, None, None, None, shrinkage.astype(dtype))
    theta = normal((n_models, N_PARAMETERS), dtype)
    assert_same(lambda backend, theta: backend.shrink(theta, N_DECAYED, tables), theta)


# ---- preprocessing ----------------------------------------------------------------------


@each_poison
@each_access
@pytest.mark.parametrize("kernel", ["shift_scale", "scale_shift"])
@pytest.mark.parametrize("statistics", [np.float32, np.float64])
@each_dtype
def test_scaling(dtype, statistics, kernel, frozen, poison):
    first, second = readable(frozen, *normal((2, UNITS), statistics, seed=1))
    x = poisoned(normal((1, ROWS, UNITS), dtype), poison)[0]
    assert_same(lambda backend, x: getattr(backend, kernel)(x, first, second), x, scale=1000)


# ---- any numbers at all -----------------------------------------------------------------


def floats_of(dtype, **limits):
    return st.floats(width=8 * np.dtype(dtype).itemsize, **limits)


@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu"])
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
def test_bias_activation_of_any_numbers_to_the_bit(name, dtype, data):
    z, b = (data.draw(arrays(dtype, (1, rows, 3), elements=floats_of(dtype))) for rows in (4, 1))
    fused, defined = results(bias_activation(ACTIVATIONS[name], b), z, z)
    np.testing.assert_array_equal(fused[0], defined[0])


@each_activation
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
def test_bias_activation_of_any_numbers(activation, dtype, data):
    z, b = (data.draw(arrays(dtype, (1, rows, 3), elements=floats_of(dtype))) for rows in (4, 1))
    assert_same(bias_activation(activation, b), z, np.zeros_like(z))


@pytest.mark.parametrize("name", ["softmax_log_loss", "binary_log_loss"])
@each_dtype
@given(data=st.data())
@settings(max_examples=60)
def test_log_losses_of_any_finite_outputs(name, dtype, data):
    limits = {"min_value": -(2.0**100), "max_value": 2.0**100}
    z = data.draw(arrays(dtype, (1, 4, 3), elements=floats_of(dtype, **limits)))
    call, *buffers = loss_case(LOSSES[name], dtype, 1, True, False, z)
    dz, losses = assert_same(call, *buffers, scale=1 + float(np.abs(z).max()))
    assert np.isfinite(dz).all() and np.isfinite(losses[1]).all()
