"""On a GPU: tests of kernels, of parity and of memory once more, on CuPy itself."""

import numpy as np
import pytest
from sklearn.base import clone

from sknn import MLPClassifier
from sknn._backend import get_backend
from sknn._backend.cuda import backend as cuda
from sknn._core import streaming
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from sknn.preprocessing import _rows as _door
from tests import simulator
from tests.backend import test_overrides
from tests.backend.test_overrides import (  # noqa: F401
    test_activation_backward,
    test_activation_backward_far_out,
    test_bias_activation,
    test_bias_activation_far_out,
    test_gather,
    test_link,
    test_loss_gradient,
    test_loss_gradient_of_extreme_outputs,
    test_loss_gradient_of_outputs_that_are_not_finite,
    test_matmul,
    test_maxout,
    test_normalize_weights,
    test_prelu,
    test_renorm,
    test_scale_backward,
    test_scaling,
    test_shrink,
    test_standardize_groups,
    test_track_moments,
    test_update,
)
from tests.ferry import Ferried
from tests.standin import real_cupy_or_skip
from tests.test_backend_parity import (  # noqa: F401  pytest runs what is imported, on the fixtures of this module
    Case,
    X,
    bring,
    test_a_fit_on_cupy_is_the_fit_on_numpy,
    test_a_model_from_the_gpu_loads_and_predicts_without_cupy,
    test_a_pipeline_keeps_rows_on_the_device,
    test_a_pipeline_with_a_scaler_keeps_rows_on_the_device,
    test_a_search_runs_on_rows_on_the_device,
    test_bad_calls_are_refused_alike,
    test_bad_rows_are_refused_alike,
    test_classes_may_live_anywhere,
    test_float32_follows_the_cpu,
    test_float32_stays_float32,
    test_folds_are_scored_on_rows_on_the_device,
    test_indicators_may_be_sparse,
    test_large_finite_numbers_are_no_infinity,
    test_memory_layout_on_the_device_does_not_matter,
    test_predictions_are_numpy,
    test_predictions_live_with_X_where_scikit_learn_dispatches,
    test_scores_are_floats_where_scikit_learn_dispatches,
    test_targets_and_weights_may_live_anywhere,
    test_the_model_computes_in_the_type_of_rows_on_the_device,
    test_training_goes_on_on_the_other_backend,
    test_what_may_be_missing_may_be_missing_on_the_device,
)

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
MODULE = real_cupy_or_skip()


@pytest.fixture
def cupy():
    return MODULE


@pytest.fixture
def rtol():
    return 1e-8


@pytest.fixture(scope="module", autouse=True)
def fused_backend():
    """The kernels on the GPU, for the tests that compare them with their definitions."""
    test_overrides.compare(Ferried(cuda.Backend(MODULE)), test_overrides.MANY)


def test_constants_are_those_of_the_stand_in():
    names = [name for name in vars(simulator.cublas) if name.startswith("CUBLAS_")]
    assert len(names) > 5
    for name in names:
        assert getattr(MODULE.cuda.cublas, name) == getattr(simulator.cublas, name)


@pytest.mark.parametrize("precision, bits", [("float32", 18), ("tf32", 9), ("bfloat16", 6)])
def test_precision_is_how_single_precision_is_multiplied(precision, bits):
    a, b = np.random.default_rng(0).uniform(1, 2, (2, 1, 512, 512))
    backend, out = cuda.Backend(MODULE, precision), MODULE.empty((1, 512, 512), MODULE.float32)
    backend.matmul(MODULE.asarray(a, MODULE.float32), MODULE.asarray(b, MODULE.float32), out)
    assert np.abs(out.get() / (a @ b) - 1).max() < 2.0**-bits


def test_rows_that_do_not_fit_train_as_those_that_do(monkeypatch):
    """By pinned memory and a stream of their own, in pieces that take turns."""
    rows = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    model = MLPClassifier((64,), batch_size=100, max_iter=3, random_state=0, backend="cupy")
    held = model.fit(rows, labels).coefs_
    monkeypatch.setattr(cuda.Backend, "has_room", lambda self, n_bytes: False)
    monkeypatch.setattr(streaming, "STREAMED", rows[:1000].nbytes)
    for mine, other in zip(model.fit(rows, labels).coefs_, held, strict=True):
        np.testing.assert_array_equal(mine, other)


TRANSFORMERS = [
    *(ZeroCenterer(), ZeroCenterer(per="sample"), StandardScaler(), MinMaxScaler((-1, 1)), PCA(3), PCA(3, whiten=True)),
    *(PCA(3, svd_solver="full"), PCA(3, svd_solver="randomized", random_state=0), ZCA(eps=0.1)),
]
OF_IMAGES = [InstanceNormalizer(), ZeroCenterer(per="channel"), StandardScaler(per="image")]


@pytest.mark.parametrize("place", ["device", "host", "host, in pieces"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("transformer", [*TRANSFORMERS, *OF_IMAGES], ids=str)
def test_transformers_are_those_of_the_cpu(transformer, dtype, place, monkeypatch):
    if place == "host, in pieces":
        monkeypatch.setattr(cuda.Backend, "has_room", lambda self, n_bytes: False)
        monkeypatch.setattr(_door, "MOVED_ELEMENTS", 12_000)
    rows = np.random.default_rng(0).uniform(0, 250, (5000, 12)) * np.linspace(0.5, 1, 12)
    rows = rows.reshape(5000, 2, 2, 3).astype(dtype) if transformer in OF_IMAGES else rows.astype(dtype)
    given = MODULE.asarray(rows) if place == "device" else rows
    found, expected = (clone(transformer).set_params(backend=name) for name in ("cupy", "numpy"))
    said, known = found.fit_transform(given), expected.fit_transform(rows)
    said = said.get() if place == "device" else said
    tolerance = 1e-9 if known.dtype == np.float64 else 1e-4
    np.testing.assert_allclose(said, known, rtol=tolerance, atol=tolerance)
    for name, value in vars(expected).items():
        if name.endswith("_") and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "parameters",
    [
        {"norm": "batch", "freeze_norm": True},
        {"norm": "layer", "ema_decay": 0.9},
        {"solver": "adamw", "clip_norm": 0.5, "l1": 0.01, "max_norm": 1.0},
        {"batch_size": 2000, "activation": "prelu"},  # of which sums over rows are added up in chunks
    ],
    ids=str,
)
def test_what_few_networks_have(parameters):
    rows = np.random.default_rng(0).standard_normal((3000, 20))
    labels = rows[:, :4].argmax(axis=1)
    common = {"hidden_layer_sizes": (40, 33), "max_iter": 3, "random_state": 0, "warm_start": True, "batch_size": 200}
    found = {}
    for backend in ("cupy", "numpy"):
        model = MLPClassifier(backend=backend, **{**common, **parameters, "freeze_norm": False}).fit(rows, labels)
        found[backend] = model.set_params(**{**common, **parameters}).fit(rows, labels).predict_proba(rows)
    np.testing.assert_allclose(found["cupy"], found["numpy"], rtol=1e-7, atol=1e-9)


def test_a_lack_of_memory_is_explained():
    MODULE.get_default_memory_pool().free_all_blocks()
    free, _ = MODULE.cuda.runtime.memGetInfo()
    taken = MODULE.empty(free - 2**27, MODULE.uint8)
    rows, labels = np.zeros((200_000, 8), np.float32), np.arange(200_000) % 3
    model = MLPClassifier((1000,), max_iter=1, batch_size=100_000, backend="cupy")
    with pytest.raises(MemoryError, match="ran out of memory on the GPU"):
        model.fit(rows, labels)
    assert not hasattr(model, "coefs_")
    del taken
    assert model.set_params(batch_size=1000).fit(rows, labels).n_iter_ == 1


def test_models_train_alike_twice():
    """Sums are added up in the same order each time."""
    labels = np.arange(len(X)) % 3
    model = MLPClassifier((50, 20), norm="batch", dropout=0.2, max_iter=5, random_state=0, backend="cupy")
    first = model.fit(X, labels).coefs_
    for mine, other in zip(first, model.fit(X, labels).coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert get_backend("cupy").name == "cupy"


def test_many_rows_are_predicted_in_chunks(cupy, rtol):
    rows = np.tile(X, (3000, 1))
    model = Case("multiclass", {"hidden_layer_sizes": (64,)}).fitted(cupy.asarray)
    np.testing.assert_allclose(model.predict_proba(cupy.asarray(rows)), model.predict_proba(rows), rtol)
