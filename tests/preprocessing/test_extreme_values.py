"""Values and weights near the ends of float64 and float32, against sums in extended precision."""

import itertools

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone

from sknn._backend import reference
from sknn._backend.cpu.backend import Backend as CPU
from sknn.preprocessing import PCA, ZCA, InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 5000, reason="longdouble is float64 here")
FACTORS = np.array([1, 1e160, 1e-160, 1e306, 1e-300, 0])
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_cut = pytest.mark.parametrize("cuts", [[], [20], [1, 40, 41]], ids=str)


@pytest.fixture
def use(monkeypatch):
    """Return a function that lets all transformers compute on a backend."""

    def use(backend):
        monkeypatch.setattr("sknn._common.estimator.get_backend", lambda *_: backend)

    return use


def table(dtype=np.float64, factors=FACTORS):
    X = np.random.default_rng(0).standard_normal((60, len(factors))) + 0.5
    return (X * factors).astype(dtype)


def exact_statistics(X, weight=None):
    """Return means and standard deviations of columns in extended precision."""
    X = np.asarray(X, np.longdouble)
    share = np.ones(len(X), np.longdouble) if weight is None else np.asarray(weight, np.longdouble)
    share = (share / share.sum())[:, None]
    mean = (share * X).sum(axis=0)
    return mean, np.sqrt((share * (X - mean) ** 2).sum(axis=0))


def fitted(scaler, X, cuts, weight=None):
    for start, stop in itertools.pairwise([0, *cuts, X.shape[0]]):
        part = None if weight is None else weight[start:stop]
        scaler.partial_fit(X[start:stop], sample_weight=part)
    return scaler


def assert_standardizes(scaler, X, weight=None, rtol=1e-13):
    """Compare a fitted scaler with exact statistics; a column of zeros comes last."""
    mean, deviation = exact_statistics(X, weight)
    divisor = np.where(deviation > 0, deviation, 1)
    np.testing.assert_allclose(scaler.mean_, mean.astype(float), rtol=rtol)
    np.testing.assert_allclose(scaler.scale_, divisor.astype(float), rtol=rtol)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(scaler.var_, (deviation**2).astype(float), rtol=1e-3)
    scaled = scaler.transform(X)
    atol = 10 * np.finfo(X.dtype).eps
    np.testing.assert_allclose(scaled, ((X - mean) / divisor).astype(float), rtol=rtol, atol=atol)
    restored = scaler.inverse_transform(scaled)
    assert (np.abs(restored - np.asarray(X, np.longdouble)) <= 10 * atol * divisor).all()


@each_backend
@each_cut
def test_columns_of_any_size(backend, cuts, use):
    use(backend)
    X = table()
    if not cuts:
        assert_standardizes(StandardScaler().fit(X), X)
    assert_standardizes(fitted(StandardScaler(), X, cuts), X)


@each_cut
def test_means_of_any_size(cuts):
    X = table()
    mean, deviation = exact_statistics(X)
    centerer = fitted(ZeroCenterer(), X, cuts)
    np.testing.assert_allclose(centerer.mean_, mean.astype(float), rtol=1e-13)
    centered = (X - mean).astype(float)
    assert (np.abs(centerer.transform(X) - centered) <= 1e-14 * deviation).all()


@all_pairs(
    pytest.mark.parametrize("factor", [1e199, 1e-200, 1e300, 1e-305]),
    each_cut,
    pytest.mark.parametrize("value", [1.0, 1e-141, 1e60, 1e150]),
    each_backend,
)
def test_weights_of_any_size(factor, cuts, value, backend, use):
    use(backend)
    X, weight = table(factors=value * np.array([1, 3, 0])), np.random.default_rng(1).random(60) * factor
    weight[5] = 0
    X[5] *= 1e150  # no matter, as its weight is zero
    scaler = fitted(StandardScaler(), X, cuts, weight)
    np.testing.assert_allclose(scaler.n_samples_seen_, weight.sum(), rtol=1e-14)
    assert_standardizes(scaler, X[weight > 0], weight[weight > 0])


@pytest.mark.parametrize("factor", [1e199, 1e-200, 1.0])
def test_the_variance_is_a_number_where_it_can_be_one(factor):
    X, weight = table(factors=[1e140, 1e-140]), np.full(60, factor)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    np.testing.assert_allclose(scaler.var_, (exact_statistics(X)[1] ** 2).astype(float), rtol=1e-13)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
@each_cut
def test_sparse_columns_of_any_size(container, cuts, weighted):
    X = table() * (np.random.default_rng(1).random((60, 6)) < 0.5)
    weight = np.random.default_rng(2).random(60) * 1e200 if weighted else None
    scaler = StandardScaler(with_mean=False)
    for start, stop in itertools.pairwise([0, *cuts, 60]):
        part = None if weight is None else weight[start:stop]
        scaler.partial_fit(container(X[start:stop]), sample_weight=part)
    deviation = exact_statistics(X, weight)[1]
    divisor = np.where(deviation > 0, deviation, 1).astype(float)
    np.testing.assert_allclose(scaler.scale_, divisor, rtol=1e-13)
    scaled = scaler.transform(container(X))
    np.testing.assert_allclose(scaled.toarray(), X / divisor, rtol=1e-13)
    np.testing.assert_allclose(scaler.inverse_transform(scaled).toarray(), X, rtol=1e-13)


@each_cut
@pytest.mark.parametrize("factor", [1e160, 1e306, 1e-160, 1e-300])
def test_channels_of_any_size(factor, cuts):
    factors = np.tile([1, factor, 0], 4)
    X = table(factors=factors) * np.repeat([1, 2, 3, 4], 3)
    images, flat = X.reshape(60, 2, 2, 3), X.reshape(240, 3)
    scaler = fitted(StandardScaler(per="channel"), images, cuts, np.ones(60))
    mean, deviation = exact_statistics(flat)
    np.testing.assert_allclose(scaler.mean_, mean.astype(float), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, np.where(deviation > 0, deviation, 1).astype(float), rtol=1e-13)
    expected = ((flat - mean) / np.where(deviation > 0, deviation, 1)).astype(float)
    np.testing.assert_allclose(scaler.transform(images).reshape(240, 3), expected, atol=1e-14)


@each_backend
@pytest.mark.parametrize(
    "scaler, eps",
    [(StandardScaler(per="sample"), 0), (InstanceNormalizer(eps=0.0), 0), (InstanceNormalizer(), 1e-5)],
    ids=["scaler", "normalizer", "eps"],
)
def test_samples_of_any_size(scaler, eps, backend, use):
    use(backend)
    X = table().T.copy()
    X[3] = np.finfo(float).max * np.sign(X[3])
    mean, deviation = (statistic[:, None] for statistic in exact_statistics(X.T))
    divisor = np.sqrt(deviation**2 + np.longdouble(eps))
    expected = (X - mean) / np.where(divisor > 0, divisor, 1)
    np.testing.assert_allclose(scaler.fit_transform(X), expected.astype(float), rtol=1e-12, atol=1e-320)


def test_the_mean_of_a_sample_of_any_size():
    X = table().T.copy()
    X[3] = np.finfo(float).max * np.sign(X[3])
    X[3, X[3] < 0] /= 2  # so that X less its mean is a number, but its sum is not
    mean, deviation = (statistic[:, None] for statistic in exact_statistics(X.T))
    found = ZeroCenterer(per="sample").fit_transform(X)
    assert (np.abs(found - (X - mean)) <= 1e-14 * deviation).all()


@pytest.mark.parametrize("most", [np.finfo(np.float32).max, 1e-40], ids=["large", "small"])
def test_float32_near_its_ends(most):
    X = table(factors=[1.0, 1.0, 0])
    X = (X / np.abs(X).max(axis=0).clip(1) * most).astype(np.float32)
    scaler = StandardScaler().fit(X)
    mean, deviation = exact_statistics(X)
    expected = ((X - mean) / np.where(deviation > 0, deviation, 1)).astype(float)
    scaled = scaler.transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), X, rtol=1e-5, atol=3e-7 * most)


def test_a_constant_far_from_zero_is_constant():
    X = np.full((5, 2), [1e300, 1e-300])
    scaler = StandardScaler().fit(X)
    np.testing.assert_array_equal(scaler.scale_, 1)
    np.testing.assert_array_equal(scaler.transform(X), 0)
    np.testing.assert_allclose(scaler.transform(2 * X), X)


@each_backend
@pytest.mark.parametrize("small", [1e-200, 1e-320])
def test_small_numbers_that_cancel_are_seen(small, backend, use):
    use(backend)
    X = np.zeros((9, 3))
    X[1:3, 0], X[1:3, 1] = [small, -small], [small, 0]
    expected = small * np.sqrt([2 / 9, 8 / 81])  # by hand: 2 a^2 / 9, and a^2 / 9 - (a / 9)^2
    np.testing.assert_allclose(StandardScaler().fit(X).scale_, [*expected, 1], rtol=1e-3)


@pytest.mark.parametrize("scaler", [StandardScaler(), StandardScaler(per="channel"), ZeroCenterer()])
def test_weights_without_a_finite_sum_are_refused(scaler):
    X = table(factors=[1.0] * 4).reshape(60, 2, 2, 1)
    X = X if scaler.per == "channel" else X.reshape(60, 4)
    scaler.fit(X, sample_weight=np.full(60, 1e305))
    before = scaler.mean_.copy()
    with pytest.raises(ValueError, match="sample_weight must have a finite sum.*Divide all weights"):
        for _ in range(1000):
            scaler.partial_fit(X, sample_weight=np.full(60, 2e306))
    assert np.isfinite(scaler.n_samples_seen_)
    np.testing.assert_allclose(scaler.mean_, before, rtol=1e-12)


@pytest.mark.parametrize("weight", [None, np.full(60, 2.0)], ids=["equal", "weighted"])
def test_ordinary_columns_are_read_once(monkeypatch, weight):
    """Those without variance too."""
    calls = []
    for kind, name in itertools.product((CPU, reference.Backend), ("column_moments", "column_extremes")):
        plain = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *args, plain=plain: calls.append(1) or plain(*args))
    monkeypatch.setattr("sknn.preprocessing._moments._columns_of", None)
    for dtype in (np.float32, np.float64):
        StandardScaler().fit(table(dtype, factors=[1, 1e-30, 0, 1e30]), sample_weight=weight)
    assert len(calls) == 2


def columns(factor):
    return np.random.default_rng(0).standard_normal((40, 3)) * factor


LARGE = [  # the factor and type of rows, dtype, and the type that cannot hold what is made of them
    (1e150, "f8", "float32", "float32"),
    (1e30, "f4", None, "float32"),
    (1e300, "f8", None, "float64"),
]
EACH_MAP = [
    *(StandardScaler(), StandardScaler(with_mean=False), StandardScaler(per="image"), MinMaxScaler()),
    *(PCA(whiten=True), ZCA(eps=0)),
]
each_large = pytest.mark.parametrize("factor, given, dtype, name", LARGE)


def beyond(name):
    way_out = ", or set dtype='float64'" if name == "float32" else ""
    words = rf"^X would contain a value too large for dtype\('{name}'\) after .*\. Scale X down{way_out}\.$"
    return pytest.raises(ValueError, match=words)


@each_large
@pytest.mark.parametrize("model", EACH_MAP, ids=str)
@each_backend
def test_results_beyond_their_float_type_are_refused(backend, model, factor, given, dtype, name, use):
    use(backend)
    fitted = clone(model).set_params(dtype=dtype).fit(columns(1e-10).astype(given))
    large = columns(factor).astype(given)
    for rows in (large, np.asfortranarray(large), np.repeat(large, 2, axis=0)[::2]):
        with beyond(name):
            fitted.transform(rows)
    if backend.on_host and fitted.__sklearn_tags__().input_tags.sparse and not getattr(fitted, "with_mean", False):
        with beyond(name):
            fitted.transform(scipy.sparse.csr_matrix(large))
    with beyond(name):
        clone(model).set_params(dtype=dtype).fit(columns(1e10).astype(given)).inverse_transform(large)


@each_backend
def test_centred_rows_beyond_float32_are_refused(backend, use):
    use(backend)
    centerer = ZeroCenterer(dtype="float32").fit(columns(1e150))
    for call in (centerer.transform, centerer.inverse_transform):
        with beyond("float32"):
            call(columns(1e150))


@each_backend
def test_a_sample_beyond_float32_is_refused(backend, use):
    use(backend)
    centerer = ZeroCenterer(per="sample", dtype="float32")
    with pytest.raises(ValueError, match=r"value too large for dtype\('float32'\).*set dtype='float64'"):
        centerer.fit(columns(1)).transform(columns(1e150))
    made = StandardScaler(per="sample", dtype="float32").fit_transform(columns(1e150))
    np.testing.assert_allclose(made, StandardScaler(per="sample").fit_transform(columns(1)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_matrix])
def test_rows_are_scaled_before_they_become_float32(container):
    X = columns(1e150)
    made = StandardScaler(with_mean=False, dtype="float32").fit(container(X)).transform(container(X))
    made = made.toarray() if scipy.sparse.issparse(made) else made
    expected = (columns(1) / columns(1).std(axis=0)).astype(np.float32)
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    assert made.dtype == np.float32


@pytest.mark.parametrize("copy", [True, False])
def test_results_beyond_float16_are_refused(copy):
    X = columns(1).astype(np.float16)
    scaler = StandardScaler(copy=copy).fit(X * np.float16(100))
    before = X.copy()
    with pytest.raises(ValueError, match=r"for dtype\('float16'\) .*\. Scale X down, or pass it in float32\.$"):
        scaler.inverse_transform(X * np.float16(1000))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("scaler", [MinMaxScaler(clip=True), StandardScaler(per="sample"), StandardScaler()], ids=str)
@each_backend
def test_infinity_is_found_where_steps_may_hide_it(scaler, backend, use):
    use(backend)
    X = columns(1)
    fitted = clone(scaler).fit(X)
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match="^Input X contains infinity"):
        fitted.transform(X)
