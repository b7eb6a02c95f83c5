"""On a GPU: what no stand-in has. Kernels and parity are in tests of their own, which run on a GPU too."""

import numpy as np
import pytest
from sklearn.base import clone

from sknn import MLPClassifier
from sknn._backend import get_backend
from sknn._backend import operations as ops
from sknn._backend.cuda import backend as cuda
from sknn._common import rows as rows_module
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from tests.support import cuda_simulator
from tests.support.gpu import cupy_or_skip
from tests.support.parity import Case, X

pytestmark = [
    *(pytest.mark.gpu, pytest.mark.usefixtures("cupy")),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def cupy():
    return cupy_or_skip()


def test_constants_are_those_of_the_stand_in(cupy):
    names = [name for name in vars(cuda_simulator.cublas) if name.startswith("CUBLAS_")]
    assert len(names) > 5
    for name in names:
        assert getattr(cupy.cuda.cublas, name) == getattr(cuda_simulator.cublas, name)


@pytest.mark.parametrize("precision, bits", [("float32", 18), ("tf32", 9), ("bfloat16", 6)])
def test_precision_is_how_single_precision_is_multiplied(precision, bits, cupy):
    a, b = np.random.default_rng(0).uniform(1, 2, (2, 1, 512, 512))
    backend, out = cuda.Backend(cupy, precision), cupy.empty((1, 512, 512), cupy.float32)
    backend.execute(ops.MatMul(cupy.asarray(a, cupy.float32), cupy.asarray(b, cupy.float32), out))
    assert np.abs(out.get() / (a @ b) - 1).max() < 2.0**-bits


def test_rows_that_do_not_fit_train_as_those_that_do(monkeypatch):
    """By pinned memory and a stream of their own, in pieces that take turns."""
    rows = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    model = MLPClassifier((64,), batch_size=100, max_iter=3, random_state=0, backend="cupy")
    held = model.fit(rows, labels).coefs_
    monkeypatch.setattr(cuda.Backend, "has_room", lambda self, n_bytes: False)
    monkeypatch.setattr(rows_module, "STREAMED_BYTES", rows[:1000].nbytes)
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
def test_transformers_are_those_of_the_cpu(transformer, dtype, place, monkeypatch, cupy):
    if place == "host, in pieces":
        monkeypatch.setattr(cuda.Backend, "has_room", lambda self, n_bytes: False)
        monkeypatch.setattr(rows_module, "MOVED_ELEMENTS", 12_000)
    rows = np.random.default_rng(0).uniform(0, 250, (5000, 12)) * np.linspace(0.5, 1, 12)
    rows = rows.reshape(5000, 2, 2, 3).astype(dtype) if transformer in OF_IMAGES else rows.astype(dtype)
    given = cupy.asarray(rows) if place == "device" else rows
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


def test_a_lack_of_memory_is_explained(cupy):
    cupy.get_default_memory_pool().free_all_blocks()
    free, _ = cupy.cuda.runtime.memGetInfo()
    taken = cupy.empty(free - 2**27, cupy.uint8)
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


def test_many_rows_are_predicted_in_chunks(cupy):
    rows = np.tile(X, (3000, 1))
    model = Case("multiclass", {"hidden_layer_sizes": (64,)}).fitted(cupy.asarray)
    np.testing.assert_allclose(model.predict_proba(cupy.asarray(rows)), model.predict_proba(rows), 1e-8)
