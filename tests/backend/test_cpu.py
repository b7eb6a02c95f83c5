"""What the CPU backend has besides kernels that equal their definitions: test_overrides.py has those."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from threadpoolctl import threadpool_limits

import sknn
from sknn._backend import operations as ops
from sknn._backend.cpu import backend as cpu
from sknn._backend.cpu import loops, updates
from tests.support.kernels import COMPARED_ACTIVATIONS, COMPARED_OPTIMIZERS, each_dtype, each_stack, normal
from tests.support.losses import LOSSES

# The overrides that dispatch on a kernel's name, with the names that the tests below go through.
DISPATCHED = {
    "bias_activation": (loops.FORWARD, {activation.kernel for activation in COMPARED_ACTIVATIONS.values()}),
    "activation_backward": (loops.BACKWARD, {activation.kernel for activation in COMPARED_ACTIVATIONS.values()}),
    "loss_gradient": (loops.LOSSES, {loss.kernel for loss in LOSSES.values()}),
    "link": (loops.LINKS, {loss.link_name for loss in LOSSES.values()}),
    "update": (updates.UPDATES, {optimizer.kernel for optimizer in COMPARED_OPTIMIZERS}),
}


# ---- what is dispatched -----------------------------------------------------------------


def test_every_dispatched_kernel_is_compared():
    for table, compared in DISPATCHED.values():
        assert set(table) <= compared


def test_every_dispatch_table_is_known():
    tables = [
        value
        for value in {**vars(loops), **vars(updates)}.values()
        if isinstance(value, dict) and _holds_kernels(value)
    ]
    known = [table for table, _ in DISPATCHED.values()]
    assert all(any(table is other for other in known) for table in tables)
    assert len(tables) == len(known)


def _holds_kernels(table):
    return any(isinstance(value, Dispatcher) for value in table.values())


# ---- batches and products ---------------------------------------------------------------


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("shape", [(300_000, 2), (3000, 128)])
def test_gather_of_a_table_that_no_cache_holds(shape, order):
    """Short rows are asked for ahead of their turn."""
    table = np.arange(np.prod(shape), dtype=float).reshape(shape, order=order)
    assert table.nbytes > loops.CACHE and 8 * shape[1] <= loops.NARROW
    numbers = np.random.RandomState(0).permutation(shape[0])[None, :100]
    out = np.zeros((1, 60, shape[1]))
    cpu.Backend().execute(ops.Gather(table, numbers, np.array([1, 40]), out))
    np.testing.assert_array_equal(out[0], table[numbers[0, 40:100]])


@each_stack
@each_dtype
@pytest.mark.parametrize("n_threads", [1, 2])
def test_products_that_threads_would_share_badly_are_turned(n_threads, dtype, n_models):
    """Of a gradient's output with more columns than rows; all others stay as they are."""
    backend = cpu.Backend()
    wide, narrow = (30, 200, 100), (100, 200, 30)
    products = []
    for rows, inner, columns in (wide, narrow):
        x, d = normal((n_models, inner, rows), dtype), normal((n_models, inner, columns), dtype, seed=1)
        out = np.empty((n_models, rows, columns), dtype)
        products.append(ops.MatMul(x.swapaxes(1, 2), d, out))
    with threadpool_limits(n_threads, user_api="blas"):
        copy = ops.Copy(out, out.copy())  # which a program cannot have
        *calls, _ = backend.compile([*products, copy]).calls
    names = [call.func.__name__ for call in calls]
    assert names == (["matmul", "transpose", "matmul"] if n_threads == 2 else ["matmul", "matmul"])
    for call in calls:
        call()
    for product in products:
        np.testing.assert_allclose(product.out, product.a @ product.b, rtol=0, atol=200 * np.finfo(dtype).eps * 15)


# ---- compiling --------------------------------------------------------------------------

COMPILE_ALL = """
import numpy as np
from numba.core.dispatcher import Dispatcher
from threadpoolctl import threadpool_limits
from sknn.activations import ACTIVATIONS, GELU
from sknn import MLPClassifier, MLPRegressor
from sknn._backend import reference
from sknn._backend.cpu import backend as cpu, interpreter, loops, updates

X, tables = np.zeros((4, 3)), (loops.FORWARD, loops.BACKWARD, loops.LOSSES, updates.UPDATES)
MLPClassifier().partial_fit(X, [0, 1, 2, 0], classes=[0, 1, 2])
cpu.Backend.compile = reference.Backend.compile  # so that kernels are called one by one
for activation in ("identity", "logistic", "tanh", "relu"):
    for solver in updates.UPDATES:
        model = {"activation": activation, "solver": solver, "hidden_layer_sizes": (2,)}
        MLPClassifier(**model).partial_fit(X, [0, 1, 2, 0], classes=[0, 1, 2])
        MLPClassifier(**model).partial_fit(X, [0, 1, 1, 0], classes=[0, 1])
        MLPRegressor(**model).partial_fit(X, [0, 1, 1, 0])
for activation in (*ACTIVATIONS, GELU("tanh")):
    MLPRegressor(activation=activation, hidden_layer_sizes=(2,)).partial_fit(X, [0, 1, 1, 0])
kernels = [kernel for table in tables for kernel in table.values()] + [loops.gather, interpreter.execute]
assert all(isinstance(kernel, Dispatcher) and kernel.signatures for kernel in kernels)
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    environment, root = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, Path(sknn.__file__).parents[1]

    def compiled():
        command = [sys.executable, "-c", COMPILE_ALL]
        return int(subprocess.run(command, env=environment, cwd=root, capture_output=True, check=True).stdout)

    assert compiled() > 0
    assert compiled() == 0


@each_stack
@each_dtype
def test_transpose(dtype, n_models):
    source = normal((n_models, 6, 5), dtype)
    out = np.empty((n_models, 5, 6), dtype)
    loops.transpose(source, out)
    np.testing.assert_array_equal(out, source.swapaxes(1, 2))
