"""A GPU's memory: rows that it cannot hold, and what is said where it lacks. A stand-in plays CuPy's part."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import get_backend
from sknn._backend import operations as ops
from sknn._backend.cuda import backend as cuda
from sknn._common import rows as rows_module
from sknn._common.rows import StreamedRows
from sknn._core.trainer import Trainer
from sknn.normalization import BatchNorm
from sknn.preprocessing import (
    PCA,
    ZCA,
    InstanceNormalizer,
    MinMaxScaler,
    StandardScaler,
    ZeroCenterer,
    _decomposition,
    _mapping,
)
from sknn.preprocessing import _covariance as _scatter
from tests.support import cupy_standin
from tests.support.backends import set_chunk_elements
from tests.support.parity import assert_equal, fitted_values, outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.RandomState(0)
X = rng.standard_normal((203, 5))
y = (X[:, 0] + 0.3 * rng.standard_normal(203) > 0).astype(int)


@pytest.fixture
def no_room(cupy, monkeypatch):
    """A device that has room for what training needs, but not for X, of which 60 rows are brought at once."""
    monkeypatch.setattr(cuda, "LITTLE", 0)
    cupy_standin.memory.free = X[:100].nbytes
    cupy_standin.memory.largest = X[:202].nbytes
    monkeypatch.setattr(rows_module, "STREAMED_BYTES", X[:60].nbytes)
    set_chunk_elements(monkeypatch, 6 * 50)


# ---- rows that do not fit ---------------------------------------------------------------

PARAMETERS = [
    {"batch_size": 10},
    {"batch_size": 7},  # batches that are no divisor of a piece, with a rest
    {"batch_size": 60},
    {"batch_size": 90},  # more than is brought at once
    {"batch_size": 16, "shuffle": False},
    {"batch_size": 16, "input_dropout": 0.3, "dropout": 0.2},
    {"batch_size": 16, "early_stopping": True},
    {"batch_size": 29, "norm": BatchNorm()},  # the last batch of one row joins the one before
    {"batch_size": 16, "norm": BatchNorm(statistics="exact"), "early_stopping": True},
    {"batch_size": 16, "solver": "sgd", "learning_rate": "adaptive"},
    {"batch_size": 16, "monitor": "neg_log_loss", "early_stopping": True},
]


def assert_streamed_as_held(parameters):
    """A fit on rows that do not fit leaves what one on rows that do leaves."""
    common = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, **parameters}
    streamed = MLPClassifier(backend="cupy", **common).fit(X, y)
    assert not get_backend("cupy").has_room(X.nbytes)
    cupy_standin.memory.__init__()
    held = MLPClassifier(backend="cupy", **common).fit(X, y)
    ours, theirs = fitted_values(streamed), fitted_values(held)
    for name in theirs:
        assert_equal(ours[name], theirs[name], 1e-12, name)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.fast_share(3)
def test_rows_that_do_not_fit_train_as_those_that_do(no_room, parameters):
    assert_streamed_as_held(parameters)


def test_rows_that_are_stored_by_column_are_not_copied(no_room):
    """As those of a data frame often are."""
    model = MLPClassifier((6,), max_iter=2, random_state=0, batch_size=16, backend="cupy")
    expected = model.fit(X, y).coefs_
    assert_equal(model.fit(np.asfortranarray(X), y).coefs_, expected, 0, "coefs_")
    cupy_standin.memory.largest, rows = 2**40, np.zeros((1000, 20_000)).T
    source = StreamedRows(get_backend("cupy"), rows).feed(np.zeros((1, 1)), np.array([100] * 200))
    source.follow(np.arange(20_000)[None])
    tracemalloc.start()
    source._gather(3, np.empty((1, 100, 1000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows.nbytes / 20


@pytest.mark.parametrize("parameters", [{"batch_size": 203}, {"batch_size": 16, "init": "lsuv"}], ids=str)
def test_as_many_rows_as_a_step_needs_may_be_all(no_room, parameters):
    cupy_standin.memory.largest = 2**40
    assert_streamed_as_held(parameters)


def test_streamed_and_weighted_with_rows_to_validate_on(no_room):
    weight = rng.randint(0, 3, 203).astype(float)
    common = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "batch_size": 16}
    streamed = MLPRegressor(backend="cupy", **common).fit(X, X[:, 1], weight, X[::2], X[::2, 1])
    held = MLPRegressor(backend="numpy", **common).fit(X, X[:, 1], weight, X[::2], X[::2, 1])
    for name, value in fitted_values(held).items():
        assert_equal(fitted_values(streamed)[name], value, 1e-9, name)


def test_predictions_of_rows_that_do_not_fit(no_room, monkeypatch):
    set_chunk_elements(monkeypatch, 6 * 17)
    model = MLPClassifier((6,), max_iter=3, random_state=0, batch_size=20).fit(X, y)
    expected = outputs(model, X)
    for method, said in outputs(model.set_params(backend="cupy"), X).items():
        np.testing.assert_allclose(said, expected[method], rtol=1e-9, err_msg=method)


def test_predictions_may_take_as_much_as_rows(no_room):
    targets, cupy_standin.memory.largest = np.tile(X, 3), 2**40
    model = MLPRegressor(hidden_layer_sizes=(6,), batch_size=20, max_iter=2, backend="cupy").fit(X, targets)
    cupy_standin.memory.largest = targets[:60].nbytes
    said = model.predict(X)
    assert type(said) is np.ndarray and said.shape == targets.shape
    np.testing.assert_allclose(said, model.set_params(backend="numpy").predict(X), rtol=1e-9)


def test_training_goes_on_where_it_was(no_room):
    """partial_fit and warm starts follow the state, whose rows were brought in pieces."""
    common = {"hidden_layer_sizes": (6,), "random_state": 0, "batch_size": 16, "warm_start": True, "backend": "cupy"}
    twice, once = MLPClassifier(max_iter=2, **common), MLPClassifier(max_iter=4, **common)
    twice.fit(X, y).fit(X, y)
    assert_equal(twice.coefs_, once.fit(X, y).coefs_, 0, "coefs_")


def test_rows_of_several_models_that_do_not_fit(no_room):
    """Models with batches of their own draw from one table."""
    backend, lengths = get_backend("cupy"), np.array([10] * 5 + [3])
    order = np.stack([np.random.RandomState(s).permutation(203)[:53] for s in range(3)])
    rows = StreamedRows(backend, X)
    source = rows.feed(np.zeros((3, 53)), lengths)
    clock = backend.xp.zeros(3, np.int64)
    source.follow(order)
    seen = []
    for number in source:
        for n_rows in source.pieces[number].tolist():
            batch = rows.training_batch(source, n_rows, clock)
            backend.execute(*batch.fetch())
            seen.append(batch.x.get())
            backend.execute(ops.Advance(clock, n_rows))
    assert len(source.pieces) == 3
    np.testing.assert_array_equal(np.concatenate(seen, axis=1), X[order])


@pytest.mark.parametrize("what", ["wait_event", "synchronize"])
def test_what_is_not_waited_for_would_be_seen(no_room, what, monkeypatch):
    """The stand-in copies as late as can be."""
    kind = cupy_standin.CurrentStream if what == "wait_event" else cupy_standin.Event
    common = {"hidden_layer_sizes": (6,), "max_iter": 1, "random_state": 0, "batch_size": 16, "backend": "cupy"}
    right = MLPClassifier(**common).fit(X, y).coefs_[0]
    monkeypatch.setattr(kind, what, lambda *_: None)
    monkeypatch.setattr(rows_module.np, "empty", np.zeros)
    wrong = MLPClassifier(**common).fit(X, y).coefs_[0]
    assert not np.allclose(right, wrong)


def test_rows_on_the_device_stay_there(cupy):
    rows, rings = cupy.asarray(X), []
    cupy_standin.memory.free = 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda.Backend, "ring", lambda *args: rings.append(args))
        MLPClassifier((6,), max_iter=1, batch_size=50, random_state=0).fit(rows, y)
    assert rings == []


# ---- transformers -----------------------------------------------------------------------

TABLE = rng.standard_normal((203, 12)) * np.arange(1, 13) + 5
TRANSFORMERS = [
    *(ZeroCenterer(), ZeroCenterer(per="sample"), StandardScaler(), MinMaxScaler((-1, 1))),
    *(PCA(3), PCA(3, whiten=True), PCA(3, svd_solver="randomized", n_oversamples=2, random_state=0), ZCA(eps=0.1)),
]
OF_IMAGES = [InstanceNormalizer(), ZeroCenterer(per="channel"), StandardScaler(per="image")]


@pytest.fixture
def little_room(no_room, monkeypatch):
    cupy_standin.memory.free = TABLE[:50].nbytes
    cupy_standin.memory.largest = TABLE[:90].nbytes
    monkeypatch.setattr(rows_module, "MOVED_ELEMENTS", TABLE[:40].size)
    for elements in ("block_elements", "product_elements"):
        monkeypatch.setattr(cuda.Backend, elements, TABLE[:40].size)
    monkeypatch.setattr(_scatter, "BLOCK_ROWS", 8)
    monkeypatch.setattr(_mapping, "PRODUCT_ELEMENTS", 1)
    monkeypatch.setattr(_decomposition, "EXAMINED_ELEMENTS", 1)


def assert_alike(transformer, rows):
    """A transformer of rows that do not fit says what it says where they do, on the host."""
    found, expected = (clone(transformer).set_params(backend=name) for name in ("cupy", "numpy"))
    said, known = found.fit_transform(rows), expected.fit_transform(rows)
    assert type(said) is np.ndarray and said.dtype == known.dtype
    np.testing.assert_allclose(said, known, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.transform(rows), known, rtol=1e-9, atol=1e-9)
    for name, value in vars(expected).items():
        if name.endswith("_") and isinstance(value, np.ndarray):
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
    if hasattr(found, "inverse_transform"):
        np.testing.assert_allclose(found.inverse_transform(said), expected.inverse_transform(known), 1e-9, 1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.int32], ids=["float64", "int32"])
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
def test_tables_that_do_not_fit(little_room, transformer, dtype):
    assert_alike(transformer, TABLE.astype(dtype))


@pytest.mark.parametrize("transformer", OF_IMAGES, ids=str)
def test_images_that_do_not_fit(little_room, transformer):
    assert_alike(transformer, TABLE.reshape(203, 2, 2, 3))


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
def test_what_is_made_of_rows_may_not_fit_where_they_do(little_room, transformer):
    """Of bytes it takes eight times as much."""
    rows = (TABLE - TABLE.min()).astype(np.uint8)
    cupy_standin.memory.free, cupy_standin.memory.largest = 2 * rows.nbytes, 4 * rows.nbytes
    assert_alike(transformer, rows)


def test_rows_that_do_not_fit_are_scaled_in_place(little_room):
    rows = TABLE.copy()
    assert StandardScaler(copy=False, backend="cupy").fit_transform(rows) is rows
    np.testing.assert_allclose(rows, StandardScaler().fit_transform(TABLE), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_do_not_fit_are_looked_through(little_room, bad):
    rows = TABLE.copy()
    rows[170, 3] = bad
    for transformer in (PCA(2, backend="cupy"), ZCA(backend="cupy")):
        with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
            transformer.fit(rows)
    with pytest.raises(ValueError, match="infinity"):
        StandardScaler(backend="cupy").fit(np.where(np.isnan(rows), np.inf, rows))


def test_a_transformer_that_lacks_memory_stays_as_it_was(little_room):
    transformer = PCA(3, svd_solver="full", backend="cupy")
    with pytest.raises(MemoryError, match="ran out of memory on the GPU"):
        transformer.fit(TABLE)
    assert not hasattr(transformer, "components_")
    cupy_standin.memory.__init__()
    assert transformer.fit(TABLE).transform(TABLE).shape == (203, 3)
    cupy_standin.memory.largest = 1000
    with pytest.raises(MemoryError, match="ran out of memory on the GPU"):
        transformer.transform(TABLE)


# ---- where memory lacks -----------------------------------------------------------------


def fresh(**parameters):
    return MLPClassifier((6,), max_iter=2, random_state=0, backend="cupy", **parameters)


def test_a_lack_is_explained_and_leaves_no_trace(cupy):
    model = fresh(solver="lbfgs")
    cupy_standin.memory.free, cupy_standin.memory.largest = 2**20, X[:150].nbytes
    with pytest.raises(
        MemoryError, match="ran out of memory on the GPU, of which 1 MiB are free now: Out of memory all"
    ):
        model.fit(X, y)
    assert vars(model).keys() == vars(fresh(solver="lbfgs")).keys()
    cupy_standin.memory.__init__()
    assert model.fit(X, y).score(X, y) > 0.5


def test_a_lack_leaves_a_fitted_model_as_it_was(cupy):
    model = fresh(warm_start=True).fit(X, y)
    before, coefs = dict(vars(model)), model.coefs_[0].copy()
    said = model.predict_proba(X)
    cupy_standin.memory.largest = 100
    for lacking in (model.fit, model.partial_fit):
        with pytest.raises(MemoryError, match="batch_size"):
            lacking(X, y)
    with pytest.raises(MemoryError):
        model.predict(X)
    assert vars(model) == before
    cupy_standin.memory.__init__()
    np.testing.assert_array_equal(model.coefs_[0], coefs)
    np.testing.assert_array_equal(model.predict_proba(X), said)
    assert model.fit(X, y).n_iter_ == 2


def test_a_lack_later_on_keeps_what_was_trained(cupy):
    epoch, done = Trainer.train_epoch, []

    def lacking(self):
        if len(done) == 2:
            raise cupy_standin.OutOfMemoryError("Out of memory allocating 5 bytes.")
        done.append(epoch(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", lacking)
        model = fresh().set_params(max_iter=5)
        with pytest.raises(MemoryError, match="allocating 5 bytes"):
            model.fit(X, y)
    assert model.n_iter_ == 2 and len(model.loss_curve_) == 2
    assert np.isfinite(model.predict_proba(X)).all()


class CUBLASError(RuntimeError):
    """What CuPy raises where cuBLAS, which does not ask CuPy's pool, gets no memory."""


CUBLASError.__module__ = "cupy_backends.cuda.libs.cublas"


@pytest.mark.parametrize(
    "error, explained",
    [
        (CUBLASError("CUBLAS_STATUS_ALLOC_FAILED"), MemoryError),
        (CUBLASError("CUBLAS_STATUS_EXECUTION_FAILED"), CUBLASError),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), RuntimeError),  # somebody else's
    ],
    ids=str,
)
def test_libraries_may_lack_memory_too(cupy, error, explained, monkeypatch):
    def epoch(self):
        raise error

    model = fresh(warm_start=True).fit(X, y)
    monkeypatch.setattr(Trainer, "train_epoch", epoch)
    with pytest.raises(explained):
        model.fit(X, y)
    if explained is MemoryError:
        assert model.n_iter_ == 2


def test_a_lack_on_the_host_is_none_of_the_gpu(cupy, monkeypatch):
    def epoch(self):
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(Trainer, "train_epoch", epoch)
    with pytest.raises(MemoryError, match="^Unable to allocate 8 TiB$"):
        fresh().fit(X, y)


# ---- the ring of buffers, event by event ------------------------------------------------


class Log:
    """Stands for CUDA and writes down what it is told to do."""

    def __init__(self):
        self.lines = []

    def stream(self, name):
        def told(what):
            return lambda *given: self.lines.append((name, what, *given))

        return SimpleNamespace(wait_event=told("wait"), synchronize=told("synchronize"), name=name)

    def event(self, **options):
        return Event(self)


class Event:
    def __init__(self, log):
        self.log = log

    def record(self, stream):
        self.log.lines.append((stream.name, "record", self))

    def synchronize(self):
        self.log.lines.append(("host", "wait", self))


@pytest.mark.parametrize("n_buffers, n_pieces", [(1, 1), (2, 2), (2, 5)])
def test_no_buffer_is_overwritten_while_it_is_read(cupy, monkeypatch, n_buffers, n_pieces):
    """Each copy waits for the last use of its buffer, each use for the copy, the host for copies from its memory."""
    log = Log()
    monkeypatch.setattr(cupy_standin.cupy.cuda, "get_current_stream", lambda: log.stream("compute"))
    monkeypatch.setattr(cupy_standin.cupy.cuda, "Stream", lambda **options: log.stream("copy"))
    monkeypatch.setattr(cupy_standin.cupy.cuda, "Event", log.event)
    monkeypatch.setattr(
        cupy_standin.ndarray, "set", lambda array, values, stream: log.lines.append((stream.name, "copy"))
    )
    ring = get_backend("cupy").ring((n_buffers, 3, 2), np.float64)
    used, copied = ring._used, ring._copied
    assert log.lines == [("compute", "record", event) for event in used]
    gathers = [lambda out, i=i: log.lines.append(("host", "gather", i)) for i in range(n_pieces)]
    for i, _ in enumerate(ring.stream(gathers)):
        log.lines.append(("compute", "use", i))
    for i in range(n_pieces):
        b = i % n_buffers
        filling = log.lines.index(("host", "gather", i))
        assert log.lines[filling - 1 : filling + 4] == [
            ("host", "wait", copied[b]),
            ("host", "gather", i),
            ("copy", "wait", used[b]),
            ("copy", "copy"),
            ("copy", "record", copied[b]),
        ]
        using = log.lines.index(("compute", "use", i))
        assert log.lines[using - 1 : using + 2] == [
            ("compute", "wait", copied[b]),
            ("compute", "use", i),
            ("compute", "record", used[b]),
        ]
        if i >= n_buffers:  # the buffer is filled again after its last use was recorded
            assert log.lines.index(("compute", "use", i - n_buffers)) < filling
    assert log.lines[-1] == ("copy", "synchronize")
