"""Plans as compiled programs: they do what the plan does, and stay plans where they could not."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_limits

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import reference
from sknn._backend.cpu import backend as cpu
from sknn._backend.cpu import interpreter, program
from sknn._backend.cpu.program import Program
from sknn._backend.operations import MatMul
from sknn._common import rows as rows_module
from sknn.activations import ACTIVATIONS
from tests.support.designs import all_pairs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

TARGETS = {
    "three classes": (MLPClassifier, y),
    "two classes": (MLPClassifier, (y > 1).astype(int)),
    "labels": (MLPClassifier, np.eye(3, dtype=int)[y]),
    "numbers": (MLPRegressor, X @ np.eye(4, 2)),
}


def fitted(target="three classes", rows=X, sample_weight=None, **parameters):
    estimator, targets = TARGETS[target]
    defaults = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "random_state": 0, "batch_size": 40, "tol": 0}
    return estimator(**{**defaults, **parameters}).fit(rows, targets, sample_weight)


@pytest.fixture
def compiled(monkeypatch):
    """Collect the results of compiling plans."""
    found = []

    def compile_and_keep(self, plan):
        found.append(original(self, plan))
        return found[-1]

    original = cpu.Backend.compile
    monkeypatch.setattr(cpu.Backend, "compile", compile_and_keep)
    return found


def fitted_by_loop(monkeypatch, *args, **parameters):
    with monkeypatch.context() as patch:
        patch.setattr(cpu.Backend, "compile", reference.Backend.compile)
        return fitted(*args, **parameters)


def assert_same_fit(program, loop, dtype):
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    for mine, other in zip(program.coefs_ + program.intercepts_, loop.coefs_ + loop.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(program.loss_curve_, loop.loss_curve_, rtol=tolerance)


@all_pairs(
    [each_dtype, pytest.mark.parametrize("solver", ["adam", "sgd"])],
    pytest.mark.parametrize("target", TARGETS),
    pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"]),
)
def test_a_program_trains_as_its_plan(activation, solver, target, dtype, monkeypatch, compiled):
    given = {"activation": activation, "solver": solver, "rows": X.astype(dtype), "alpha": 0.1}
    model = fitted(target, **given)
    assert [type(plan) for plan in compiled] == [Program, Program]
    assert_same_fit(model, fitted_by_loop(monkeypatch, target, **given), dtype)


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": ()},
        {"label_smoothing": 0.1},
        {"sample_weight": np.arange(150) % 3 + 0.5},
        {"class_weight": "balanced", "early_stopping": True},
        {"shuffle": False, "learning_rate": "one_cycle"},
        {"solver": "adamw", "decoupled_decay": False},
    ],
    ids=str,
)
def test_whatever_is_in_the_tables(parameters, monkeypatch, compiled):
    model = fitted(**parameters)
    assert {type(plan) for plan in compiled} == {Program}
    assert_same_fit(model, fitted_by_loop(monkeypatch, **parameters), np.float64)


def test_rows_that_may_only_be_read(compiled):
    rows = X.copy()
    rows.flags.writeable = False
    fitted(rows=rows)
    assert isinstance(compiled[0], Program)
    np.testing.assert_array_equal(rows, X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"activation": "silu"},
        {"activation": "gelu"},
        {"norm": "batch"},
        {"dropout": 0.5},
        {"clip_norm": 1.0},
        {"solver": "lion"},
        {"ema_decay": 0.9},
        {"rows": scipy.sparse.csr_array(X)},
        {"rows": np.asfortranarray(X)},
        {"hidden_layer_sizes": (300, 300)},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_what_stays_a_plan(parameters, compiled, monkeypatch):
    monkeypatch.setattr(rows_module, "COPIED_BYTES", 0)  # as if X were large
    fitted(**parameters)
    assert {type(plan) for plan in compiled} == {reference.Loop}


def product(a, b, out):
    """Return a program that multiplies two matrices once."""
    return program.as_program([MatMul(a, b, out)])


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("thin", [1, 2, 3, 4, 5, 8, 16, 17]),
    pytest.mark.parametrize("depth", [1, 3, 4, 7, 150]),
)
def test_products_of_thin_matrices(depth, thin, dtype):
    """Own loops up to some width, BLAS beyond; of odd and even numbers of rows, with and without a rest of four."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal((1, *shape)).astype(dtype)

    wide, narrow = normal(depth, 100), normal(depth, thin)
    cases = [
        (wide.swapaxes(1, 2), narrow),
        (narrow.swapaxes(1, 2), wide),
        (wide, normal(100, thin)),
        (narrow, normal(thin, 100)),
        (narrow, normal(100, thin).swapaxes(1, 2)),
    ]
    for a, b in cases:
        out = np.full((1, a.shape[1], b.shape[2]), np.nan, dtype)
        product(a, b, out).run(1)
        exact = a.astype(float) @ b.astype(float)
        np.testing.assert_allclose(out, exact, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n_threads, is_program", [(1, True), (2, False)])
def test_products_that_threads_share_are_not_in_programs(n_threads, is_program, compiled):
    """Programs have another BLAS than the rest of training: idle threads of one would spin against those of the other.

    Here the full batches are too much for a program, and the last one is not.
    """
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((300, 64)), np.arange(300) % 10
    with threadpool_limits(n_threads, user_api="blas"):
        MLPClassifier((200,), max_iter=1, batch_size=250).fit(rows, labels)
        MLPClassifier((60,), max_iter=1, batch_size=32).fit(rows, labels)
    kinds = [isinstance(plan, Program) for plan in compiled]
    assert kinds == [False, is_program, True, True]


@each_dtype
def test_nan_goes_through_thin_products(dtype):
    a, b = np.ones((1, 10, 3), dtype), np.ones((1, 10, 8), dtype)
    a[0, 4, 1] = np.nan
    out = np.empty((1, 3, 8), dtype)
    product(a.swapaxes(1, 2), b, out).run(1)
    assert np.isnan(out[0, 1]).all() and (out[0, [0, 2]] == 10).all()


def test_a_stack_stays_a_plan():
    backend = cpu.Backend()
    a = np.ones((2, 3, 3))
    assert backend.compile([square(a)]).__class__ is reference.Loop
    assert backend.compile([square(a[:1])]).__class__ is Program


def square(a):
    return MatMul(a, a, np.empty_like(a))


@each_dtype
@pytest.mark.parametrize("left, right", [(False, False), (True, False), (False, True)])
def test_products(left, right, dtype):
    rng, backend = np.random.default_rng(0), cpu.Backend()
    a, b = rng.standard_normal((1, 5, 7)).astype(dtype), rng.standard_normal((1, 7, 3)).astype(dtype)
    given_a = np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2) if left else a
    given_b = np.ascontiguousarray(b.swapaxes(1, 2)).swapaxes(1, 2) if right else b
    out = np.full((1, 5, 3), np.nan, dtype)
    program = backend.compile([MatMul(given_a, given_b, out)])
    assert isinstance(program, Program)
    program.run(2)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5 if dtype == np.float32 else 1e-13)


def test_long_runs_let_ctrl_c_through(monkeypatch):
    runs = []
    monkeypatch.setattr(program, "execute", lambda table, like, times: runs.append(times))
    a = np.ones((1, 3, 3))
    backend = cpu.Backend()
    backend.compile([square(a)]).run(2500)
    assert runs == [1000, 1000, 500]


def test_activations_with_a_code_work_in_place_and_have_no_constants():
    """A program gives an activation neither z nor numbers."""
    names = [name.removeprefix("bias ") for name in interpreter.CODES if name.startswith("bias ")]
    assert names and all(ACTIVATIONS[name].in_place and not ACTIVATIONS[name].constants() for name in names)


def test_every_code_has_a_number_of_its_own():
    codes = [code for code, _ in interpreter.CODES.values()]
    assert codes == list(range(len(codes)))


def test_fits_in_threads_are_fits_alone():
    seeds = list(range(8))
    alone = [fitted(random_state=seed, max_iter=60) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: fitted(random_state=seed, max_iter=60), seeds))
    for mine, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(mine.coefs_[0], other.coefs_[0])


def test_a_diverging_program_is_seen():
    with pytest.raises(ValueError, match="diverged"):
        fitted("numbers", solver="sgd", learning_rate_init=1e100, max_iter=50)


def test_programs_go_on_bit_for_bit():
    whole = fitted(max_iter=8)
    model = fitted(max_iter=4, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])
