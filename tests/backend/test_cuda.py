"""CUDA kernels without a GPU: compiled for GPUs, their arithmetic to the bit, plans as a graph would run them.

That each equals its definition is in test_overrides.py, and in the tests of what it is for.
"""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sknn
from sknn._backend import operations as ops
from sknn._backend import reference
from sknn._backend.cuda import backend as cuda
from sknn._backend.cuda import launches, sources
from sknn._backend.operations import Tables
from sknn.activations import ACTIVATIONS, ELU, GELU, LeakyReLU
from sknn.optimizers import OPTIMIZERS
from tests.support import cuda_simulator, cupy_standin
from tests.support.cuda_simulator import cublas, recorder
from tests.support.designs import all_pairs
from tests.support.ferry import Ferried
from tests.support.losses import LOSSES
from tests.support.nvrtc import compiled
from tests.support.random_bits import each_known_answer
from tests.support.scenarios import NOT_CAPTURED, SCENARIOS, train

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
KERNELS = cuda_simulator.KERNEL.findall(sources.source())
# Kernels for single precision that need double precision for a few numbers: sums over many rows, and what dropout
# and averages share with the reference to the bit.
WITH_DOUBLES = {
    *("softmax_loss", "elementwise_loss", "add_up", "update", "add_l1", "sum_of_squares", "shorten", "average"),
    *("track_moments", "total", "chunk_moments", "merge_chunks", "dropout", "dropout_backward"),
}


# ---- compiled for GPUs ------------------------------------------------------------------


@pytest.mark.slow
@each_dtype
@pytest.mark.parametrize("architecture", ["sm_90", "sm_80"])
def test_kernels_compile_without_spills(architecture, dtype):
    options = *sources.options(dtype), f"-arch={architecture}", "--ptxas-options=-v"
    done = compiled(sources.source(), *options)
    assert done.succeeded, done.log
    assert "warning" not in done.log
    assert set(re.findall(r"entry function '(\w+)'", done.log)) == set(KERNELS)
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill", done.log)]
    assert len(spilled) == 2 * len(KERNELS) and not any(spilled)


def test_a_spill_would_be_seen():
    hungry = 'extern "C" __global__ void __launch_bounds__(1024, 2) hungry(float* x) {\n  float y[200];\n'
    hungry += "  for (int i = 0; i < 200; ++i) y[i] = x[i * 7];\n  for (int j = 0; j < 9; ++j) {\n"
    hungry += "  #pragma unroll\n  for (int i = 0; i < 200; ++i) y[i] = y[i] * y[(i * 3 + 1) % 200] + x[i];\n  }\n"
    hungry += "  for (int i = 0; i < 200; ++i) x[i] = y[i];\n}"
    log = compiled(hungry, "-arch=sm_90", "--ptxas-options=-v").log
    assert any(int(n) for n in re.findall(r"(\d+) bytes spill", log))


def test_an_error_would_be_seen():
    done = compiled(sources.source().replace("return", "retrun", 1), *sources.options(np.float32), "-arch=sm_90")
    assert not done.succeeded and "retrun" in done.log


def test_single_precision_needs_no_double_precision():
    done = compiled(sources.source(), *sources.options(np.float32), "-arch=compute_90")
    entries = dict(re.findall(r"\.entry (\w+)\((.*?)(?=\.entry|\Z)", done.ptx, re.DOTALL))
    assert {name for name, text in entries.items() if ".f64" in text} == WITH_DOUBLES


# ---- arithmetic of one element ----------------------------------------------------------

ELEMENTS = """
extern "C" real one_activation(int kind, real z, real a, real b) { return activation(kind, z, a, b); }
extern "C" real one_slope(int kind, real v, real a, real b) { return activation_slope(kind, v, a, b); }
extern "C" void one_philox(unsigned* counter, unsigned* key) { philox(counter, key[0], key[1]); }
extern "C" real one_update(int kind, real w, real g, real* s, const real* h, real rate, real second_rate)
{
    return updated(kind, w, g, s, h, rate, second_rate);
}
"""
EXACT = {"identity", "relu", "leaky_relu"}  # without a function that libraries round in their own ways
COMPARED = [*ACTIVATIONS.values(), LeakyReLU(0.3), ELU(0.5), GELU("tanh")]
SERVED = [block for block in COMPARED if block.kernel in sources.numbers_of("Activation")]


def elements(dtype):
    """Return the functions of elements.h, compiled for this machine, and the C type of their numbers."""
    header = (sources.FOLDER / "elements.h").read_text()
    define = sources.options(dtype)[1]
    math = "#include <cmath>\nusing namespace std;\n"
    library = cuda_simulator.compile_source(math + header + ELEMENTS, define, "-Wno-unused-function")
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    for name in ("one_activation", "one_slope", "one_update"):
        getattr(library, name).restype = real
    return library, real


@each_dtype
@pytest.mark.parametrize("activation", SERVED, ids=repr)
def test_activations_are_the_references(activation, dtype):
    library, real = elements(dtype)
    kind, numbers = sources.numbers_of("Activation")[activation.kernel], launches.two_floats(activation.constants())
    z = np.concatenate([np.linspace(-30, 30, 601), [np.inf, -np.inf, np.nan, 1e6, -1e6]]).astype(dtype)
    y, slope = np.empty_like(z), np.ones_like(z)
    with np.errstate(all="ignore"):
        activation.forward(np, z.copy(), y)
        activation.backward(np, slope, z, y)
    given = y if activation.in_place else z

    def each(function, values):
        return np.array([function(kind, real(v), *map(real, numbers)) for v in values], dtype)

    found, found_slope = each(library.one_activation, z), each(library.one_slope, given)
    if activation.kernel in EXACT:
        np.testing.assert_array_equal(found, y)
        np.testing.assert_array_equal(found_slope, slope)
    else:
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found, y, rtol=8 * eps, atol=16 * eps)  # 1 + tanh and 1 + erf cancel
        np.testing.assert_allclose(found_slope, slope, rtol=32 * eps, atol=32 * eps)


@each_known_answer
def test_known_answers_of_philox(counter, key, words):
    library, _ = elements(np.float32)
    counter, key = np.array(counter, np.uint32), np.array(key, np.uint32)
    library.one_philox(*(ctypes.c_void_p(array.ctypes.data) for array in (counter, key)))
    assert " ".join(f"{word:08x}" for word in counter) == words


@each_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_the_references_to_the_bit(name, dtype):
    optimizer, (library, real) = OPTIMIZERS[name](), elements(dtype)
    kind, rng = sources.numbers_of("Optimizer")[optimizer.kernel], np.random.default_rng(0)
    constants, n = np.array([optimizer.constants()], dtype), 50
    theta, slots = rng.standard_normal((1, n)).astype(dtype), np.zeros((optimizer.n_slots, 1, n), dtype)
    own, own_slots = theta.copy(), slots.copy()
    for _ in range(5):
        grad = rng.standard_normal((1, n)).astype(dtype)
        rates = rng.random((2, 1, 1)).astype(dtype)
        for i in range(n):
            memory = own_slots[:, 0, i].copy()
            given = (ctypes.c_void_p(array.ctypes.data) for array in (memory, constants))
            own[0, i] = library.one_update(kind, real(own[0, i]), real(grad[0, i]), *given, *map(real, rates[:, 0, 0]))
            own_slots[:, 0, i] = memory
        optimizer.update(np, theta, grad.copy(), slots, constants, *rates)
        np.testing.assert_array_equal(own, theta)
        np.testing.assert_array_equal(own_slots, slots)


def test_building_blocks_that_kernels_know_are_building_blocks():
    """Names of the enumerations are those of building blocks, so that none is left behind by a change of name."""
    assert set(sources.numbers_of("Activation")) == {block.kernel for block in COMPARED} - {"prelu", "maxout"}
    assert set(sources.numbers_of("Loss")) == {loss.kernel for loss in LOSSES.values()}
    assert set(sources.numbers_of("Optimizer")) == {cls.kernel for cls in OPTIMIZERS.values()}
    links = {f"link_{loss.link_name}" for loss in LOSSES.values()}
    assert set(sources.numbers_of("Link")) == links
    assert {f"link_{name}" for name in launches.LINKS} <= links
    assert set(launches.LOSSES_OF_ROWS) <= set(sources.numbers_of("Loss"))


def test_more_numbers_than_an_element_takes_are_refused():
    assert launches.two_floats((3,)) == (3.0, 0.0)
    with pytest.raises(ValueError, match=r"at most 2 numbers; got \(1, 2, 3\)"):
        launches.two_floats((1, 2, 3))


def test_kernels_have_numbers_for_all_slots():
    most = int(re.search(r"MOST_SLOTS = (\d+)", sources.source()).group(1))
    assert max(cls.n_slots for cls in OPTIMIZERS.values()) == most
    sizes = {name: int(re.search(rf"\b{name} = (\d+)", sources.source()).group(1)) for name in ("COLUMNS", "LANES")}
    assert sizes == {"COLUMNS": launches.COLUMNS, "LANES": launches.LANES}


# ---- what launches are given ------------------------------------------------------------


def test_arrays_that_are_not_contiguous_are_refused():
    kernels = sources.Kernels(cuda_simulator.NumPyWithKernels(), np.float32)
    with pytest.raises(ValueError, match="must be contiguous"):
        kernels.launch("advance", (1,), (1,), np.zeros(6, np.int64)[::2], 1)
    with pytest.raises(ValueError, match="side by side"):
        sources.PerModel(np.zeros((2, 3, 4)).swapaxes(1, 2)).expand()


@pytest.mark.parametrize("n_models, expected", [(1, 0), (3, 20)])
def test_numbers_between_models(n_models, expected):
    flat = np.zeros((n_models, 20))
    assert sources.PerModel(flat[:, 3:9].reshape(n_models, 2, 3)).expand()[1] == expected


def test_sizes_that_are_too_large_are_refused():
    kernels = sources.Kernels(cuda_simulator.NumPyWithKernels(), np.float32)
    with pytest.raises(OverflowError):
        kernels.launch("advance", (1,), (1,), np.zeros(3, np.int64), 2**31)
    for grid in (launches.elements, lambda n: launches.warps(n, 1)):
        assert grid(2**31 - 1)
        with pytest.raises(
            ValueError, match="at most 2147483647 numbers per model; got 2147483648. Use a smaller batch"
        ):
            grid(2**31)


def test_the_ferry_brings_arrays_to_a_device_and_back():
    """As test_overrides.py compares kernels on a real one."""
    with cupy_standin.installed() as cupy:
        ferried, reference_backend = Ferried(cuda.Backend(cupy)), reference.Backend(np)
        z, b = np.random.default_rng(0).standard_normal((2, 2, 3, 4))
        b, found = np.ascontiguousarray(b[:, :1]), []
        for backend in (ferried, reference_backend):
            y = z.copy()
            backend.execute(ops.BiasActivation(y, b, ACTIVATIONS["tanh"], y))
            tables = Tables(np.array([1, 0, 0]), None, np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2)))
            theta, grad, slots = y[:, 0].copy(), y[:, 1].copy(), np.zeros((2, 2, 4))
            constants = np.array([OPTIMIZERS["adam"]().constants()] * 2)
            backend.execute(ops.Update(OPTIMIZERS["adam"](), theta, grad, slots, constants, np.ones(2), 3, tables))
            found.append((y, theta, slots, tables.loss))
        for mine, other in zip(*found, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12)


# ---- products ---------------------------------------------------------------------------


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (4, 1, 3), (4, 5, 1), (4, 5, 3)], ids=str),
    pytest.mark.parametrize("layout", ["plain", "a turned", "b turned", "both turned", "weights in theta"]),
)
def test_products_of_all_layouts(layout, shape, dtype):
    rng, (rows, inner, columns) = np.random.default_rng(0), shape
    a, b = rng.standard_normal((1, rows, inner)), rng.standard_normal((3, inner, columns))
    a, b = a.astype(dtype), b.astype(dtype)
    if layout in ("a turned", "both turned"):
        a = a.swapaxes(1, 2).copy().swapaxes(1, 2)
    if layout in ("b turned", "both turned"):
        b = b.swapaxes(1, 2).copy().swapaxes(1, 2)
    if layout == "weights in theta":
        theta = np.zeros((3, b[0].size + 7), dtype)
        theta[:, 4:-3] = b.reshape(3, -1)
        b = theta[:, 4:-3].reshape(b.shape)
        assert np.shares_memory(b, theta)
    out = np.full((3, rows, columns), np.nan, dtype)
    cuda_simulator.Backend().execute(ops.MatMul(a, b, out))
    np.testing.assert_allclose(out, a @ b, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("precision, digits", [("float32", 1e-6), ("tf32", 5e-4), ("bfloat16", 4e-3)])
def test_precision_is_how_single_precision_is_multiplied(precision, digits):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, (2, 1, 30, 30))
    backend, out = cuda_simulator.Backend(precision), np.empty((1, 30, 30), np.float32)
    backend.execute(ops.MatMul(a.astype(np.float32), b.astype(np.float32), out))
    error = np.abs(out / (a @ b) - 1).max()
    assert digits / 100 < error < digits
    exact = np.empty((1, 30, 30))
    backend.execute(ops.MatMul(a, b, exact))
    np.testing.assert_allclose(exact, a @ b, rtol=1e-14)


def test_rounding_is_to_nearest_even():
    """Of the stand-in for tensor cores: bfloat16 has 8 significant bits."""
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, np.inf, np.nan, -1 - 2**-9], np.float32)
    expected = np.array([1, 1, 1 + 2**-6, 1 + 2**-7, np.inf, np.nan, -1], np.float32)
    np.testing.assert_array_equal(cublas.rounded(values, 16), expected)


# ---- plans as a graph would run them ----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in NOT_CAPTURED])
def test_what_is_captured_trains_as_what_is_not(name):
    """Numbers of the step, learning rates, seeds and losses are read where they change, and nothing is allocated."""
    captured, called = (
        train(SCENARIOS[name], backend, True, [0, 1, 2]) for backend in (recorder.Backend(), cuda_simulator.Backend())
    )
    for mine, other in zip(captured, called, strict=True):
        for field in ("theta", "statistics", "slots", "loss_curve", "validation_scores"):
            np.testing.assert_array_equal(getattr(mine, field), getattr(other, field), err_msg=field)


@pytest.mark.parametrize("name", NOT_CAPTURED)
def test_what_is_not_captured_is_known(name):
    with pytest.raises(recorder.NotCapturable, match=NOT_CAPTURED[name]):
        train(SCENARIOS[name], recorder.Backend(), True, [0, 1, 2])


def test_a_scalar_that_is_baked_in_would_be_seen():
    backend, clock, step = recorder.Backend(), np.zeros(3, np.int64), [np.int32(5)]
    kernels = sources.Kernels(backend.xp, np.float32)
    graph = backend.graph([kernels.launch("advance", (1,), (1,), clock, step[0])])
    step[0] = np.int32(7)
    graph.run(3)
    assert clock.tolist() == [3, 15, 0]


def test_an_allocation_while_replaying_is_refused():
    backend = recorder.Backend()
    graph = backend.graph([])
    graph._calls.append(lambda: backend.xp.empty(3))
    with pytest.raises(AttributeError):
        graph.run(1)
    assert backend.xp is not None


@pytest.mark.slow
@pytest.mark.parametrize("change", [None, "if (i >= n) return;=>if (i > n) return;"], ids=["none", "one"])
def test_kernels_keep_to_their_arrays(change):
    """By AddressSanitizer, which comes with the compiler; and it would see a bound that is one too large."""
    compiler = os.environ.get("CXX", "c++")
    asked = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {**os.environ, "LD_PRELOAD": asked.stdout.strip(), "PYTHONPATH": str(Path(sknn.__file__).parents[1])}
    environment["ASAN_OPTIONS"] = "detect_leaks=0:detect_stack_use_after_return=0"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.support.cuda_simulator.checked",
        *([change] if change else []),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if change is None:
        assert done.returncode == 0, done.stderr
    else:
        assert "heap-buffer-overflow" in done.stderr


# ---- the simulator sees what a GPU would not say ----------------------------------------

MISTAKES = """
extern "C" __global__ void parts_way(int* x)
{
    if (threadIdx.x < 3) x[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
}
extern "C" __global__ void leaves_early(int* x)
{
    if (threadIdx.x >= 32) return;
    __syncthreads();
}
extern "C" __global__ void no_barrier(int* x)
{
    __shared__ int shared[64];
    shared[threadIdx.x] = threadIdx.x;
    x[threadIdx.x] = shared[63 - threadIdx.x];
}
extern "C" __global__ void turned(int* x)
{
    __shared__ int shared[64];
    shared[threadIdx.x] = threadIdx.x;
    __syncthreads();
    x[threadIdx.x] = shared[63 - threadIdx.x];
}
"""


@pytest.fixture(scope="module")
def mistakes():
    return cuda_simulator.NumPyWithKernels().RawModule(code=MISTAKES)


@pytest.mark.parametrize("name, message", [("parts_way", "part ways"), ("leaves_early", "end before a barrier")])
def test_threads_must_meet(mistakes, name, message):
    with pytest.raises(ValueError, match=message):
        mistakes.get_function(name)((1,), (64,), (np.zeros(64, np.int32),))


def test_a_missing_barrier_is_seen(mistakes):
    found = {name: np.full(64, -1, np.int32) for name in ("no_barrier", "turned")}
    for name, array in found.items():
        mistakes.get_function(name)((1,), (64,), (array,))
    np.testing.assert_array_equal(found["turned"], np.arange(64)[::-1])
    assert (found["no_barrier"] != found["turned"]).any()


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((np.zeros(64, np.int64),), ValueError, r"argument 0 must be i4\*; got i8\*"),
        ((np.int32(1),), ValueError, r"argument 0 must be i4\*; got i4"),
        ((), ValueError, "must have 1 arguments; got 0"),
        ((1,), TypeError, "arrays and NumPy's numbers; got 1"),
    ],
)
def test_wrong_arguments_are_refused(mistakes, arguments, error, message):
    with pytest.raises(error, match=message):
        mistakes.get_function("turned")((1,), (64,), arguments)


@pytest.mark.parametrize("grid, block", [((1,), (2048,)), ((0,), (32,)), ((1, 2**16), (32,))])
def test_sizes_that_a_gpu_refuses_are_refused(mistakes, grid, block):
    with pytest.raises(ValueError, match="too large|empty"):
        mistakes.get_function("turned")(grid, block, (np.zeros(64, np.int32),))


def test_a_source_that_does_not_compile_is_refused():
    with pytest.raises(RuntimeError, match="refused the source"):
        cuda_simulator.compile_source("this is no source")
