"""Scalers of images: statistics per image, channel and sample beside the formulas, in every layout."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn.preprocessing import InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from tests import standin

N, HEIGHT, WIDTH, CHANNELS = 30, 4, 5, 3
SCALERS = [ZeroCenterer, StandardScaler, MinMaxScaler]
each_scaler = pytest.mark.parametrize("cls", SCALERS)
each_learned = pytest.mark.parametrize("per", ["image", "channel"])
each_per = pytest.mark.parametrize("per", ["image", "channel", "sample"])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
AXES = {"image": (0,), "channel": (0, 1, 2), "sample": (1, 2, 3)}  # over which statistics of (n, h, w, c) are taken


def pictures(dtype=np.float64, gaps=False, seed=0):
    """Return (n, h, w, c) with channels of unlike means and spreads."""
    rng = np.random.default_rng(seed)
    images = rng.normal([100, 50, 180], [30, 5, 20], (N, HEIGHT, WIDTH, CHANNELS)).clip(0, 255).astype(dtype)
    if gaps:
        images[rng.random(images.shape) < 0.2] = np.nan
    return images


def expected(cls, per, images):
    """Return what a scaler makes of float64 images, by the formula."""
    statistic = {"axis": AXES[per], "keepdims": True}
    if cls is MinMaxScaler:
        low = np.nanmin(images, **statistic)
        return (images - low) / (np.nanmax(images, **statistic) - low)
    centered = images - np.nanmean(images, **statistic)
    return centered / np.nanstd(images, **statistic) if cls is StandardScaler else centered


def flat(images):
    return images.reshape(len(images), -1)


# How images come: arguments, the way there from (n, h, w, c), and the way back.
LAYOUTS = {
    "channels last": ({}, lambda x: x, lambda x: x),
    "channels first": (
        {"channels": "first"},
        lambda x: np.ascontiguousarray(np.moveaxis(x, -1, 1)),
        lambda x: np.moveaxis(x, 1, -1),
    ),
    "flat": (
        {"image_shape": (HEIGHT, WIDTH, CHANNELS)},
        flat,
        lambda x: x.reshape(-1, HEIGHT, WIDTH, CHANNELS),
    ),
    "flat planes": (
        {"image_shape": [CHANNELS, HEIGHT, WIDTH], "channels": "first"},
        lambda x: flat(np.moveaxis(x, -1, 1)),
        lambda x: np.moveaxis(x.reshape(-1, CHANNELS, HEIGHT, WIDTH), 1, -1),
    ),
    "a view": ({"channels": "first"}, lambda x: np.moveaxis(x, -1, 1), lambda x: np.moveaxis(x, 1, -1)),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


@each_scaler
@each_per
@each_layout
@each_dtype
@pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"])
def test_formula(gaps, dtype, layout, per, cls):
    options, store, restore = LAYOUTS[layout]
    images = pictures(dtype, gaps)
    stored = store(images)
    before = stored.copy()
    scaler = cls(per=per, **options).fit(stored)
    scaled = scaler.transform(stored)
    assert scaled.shape == stored.shape and scaled.dtype == dtype
    np.testing.assert_array_equal(stored, before)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(restore(scaled), expected(cls, per, images.astype(float)), rtol=1e-5, atol=tolerance)
    if per != "sample":
        np.testing.assert_allclose(
            scaler.inverse_transform(scaled), stored, rtol=1e-5 if dtype == np.float32 else 1e-12
        )


@each_scaler
@each_per
@pytest.mark.parametrize("given", ["u1", "i2", "i8", "?"])
@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
def test_integers(dtype, given, per, cls):
    images = (pictures() > 100).astype("?") if given == "?" else pictures().astype(given)
    scaler = cls(per=per, dtype=dtype).fit(images)
    scaled = scaler.transform(images)
    assert scaled.dtype == (dtype or "float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        formula = expected(cls, per, images.astype(float))
    if given != "?":
        np.testing.assert_allclose(scaled, formula, rtol=1e-5, atol=1e-4 if dtype == "float32" else 1e-11)


@pytest.mark.parametrize("shape", [(N, 8, 8), (N, 64)], ids=str)
@each_scaler
@each_per
def test_images_without_channels(per, cls, shape):
    images = np.random.default_rng(0).normal(5, 2, (N, 8, 8, 1))
    scaler = cls(per=per, image_shape=(8, 8)).fit(images.reshape(shape))
    scaled = scaler.transform(images.reshape(shape))
    np.testing.assert_allclose(scaled.reshape(images.shape), expected(cls, per, images), atol=1e-12)
    assert scaler.image_shape_ == (8, 8)


# ---- what is published ------------------------------------------------------------------


def test_statistics_have_the_shape_of_what_they_are_of():
    images, shape = pictures(), (HEIGHT, WIDTH, CHANNELS)
    for options, stored, of_image in (
        ({}, images, shape),
        ({"image_shape": shape}, flat(images), shape),
        ({"channels": "first"}, np.moveaxis(images, -1, 1), (CHANNELS, HEIGHT, WIDTH)),
    ):
        by_image = StandardScaler(per="image", **options).fit(stored)
        by_channel = StandardScaler(per="channel", **options).fit(stored)
        for scaler, of_statistic in ((by_image, of_image), (by_channel, (CHANNELS,))):
            assert scaler.mean_.shape == scaler.var_.shape == scaler.scale_.shape == of_statistic
            assert scaler.mean_.dtype == np.float64
            assert scaler.n_samples_seen_ == N and scaler.n_features_in_ == 60
            assert scaler.image_shape_ == of_image
    ranges = MinMaxScaler((1, 3), per="channel").fit(images)
    np.testing.assert_array_equal(ranges.data_max_, images.max(axis=(0, 1, 2)))
    np.testing.assert_allclose(ranges.scale_, 2 / np.ptp(images, axis=(0, 1, 2)))
    np.testing.assert_allclose(ranges.min_, 1 - images.min(axis=(0, 1, 2)) * ranges.scale_)
    assert not hasattr(ZeroCenterer(per="sample").fit(images), "mean_")
    assert ZeroCenterer(per="image").fit(flat(images)).image_shape_ is None


def test_images_and_their_rows_are_the_same_to_a_fitted_scaler():
    images = pictures()
    of_images = StandardScaler(per="image").fit(images)
    of_rows = StandardScaler(per="image").fit(flat(images))
    np.testing.assert_array_equal(of_images.transform(flat(images)), flat(of_images.transform(images)))
    np.testing.assert_array_equal(of_rows.transform(images), of_images.transform(images))
    of_rows.partial_fit(images)
    assert of_rows.n_samples_seen_ == 2 * N


def test_samples_with_missing_pixels_are_counted_in_parts():
    images = pictures()
    images[0, 0, 0, 1] = np.nan
    centerer = ZeroCenterer(per="channel").fit(images)
    np.testing.assert_allclose(centerer.n_samples_seen_, [N, N - 1 / 20, N])
    again = ZeroCenterer(per="channel").partial_fit(images[:7]).partial_fit(images[7:])
    np.testing.assert_allclose(again.mean_, centerer.mean_, rtol=1e-14)


# ---- fitting ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    cuts=st.lists(st.integers(1, N - 1), unique=True).map(sorted), gaps=st.booleans(), shift=st.sampled_from([0, 1e8])
)
@each_scaler
@each_learned
def test_any_pieces_are_one_fit(per, cls, cuts, gaps, shift):
    images = shift + pictures(gaps=gaps)
    whole, pieces = cls(per=per).fit(images), cls(per=per)
    for part in np.split(images, cuts):
        pieces.partial_fit(part)
    for name in ("mean_", "var_", "scale_", "data_min_", "data_max_", "n_samples_seen_"):
        if hasattr(whole, name):
            np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12, err_msg=name)


@each_learned
@pytest.mark.parametrize("cls", [ZeroCenterer, StandardScaler])
def test_whole_weights_are_repeated_images(cls, per):
    images, weight = pictures(gaps=True), np.random.default_rng(0).integers(0, 4, N)
    weighted = cls(per=per).fit(images, sample_weight=weight)
    repeated = cls(per=per).fit(np.repeat(images, weight, axis=0))
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-13)
    np.testing.assert_allclose(weighted.transform(images), repeated.transform(images), rtol=1e-11, atol=1e-11)


@each_scaler
@each_per
def test_bytes_are_not_copied_to_floats(per, cls):
    images = np.random.default_rng(0).integers(256, size=(3000, 16, 16, 3), dtype=np.uint8)
    scaler = cls(per=per, dtype="float32").fit(images[:100])
    scaler.transform(images[:100])
    tracemalloc.start()
    try:
        scaler.fit(images)
        _, fit_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        scaled = scaler.transform(images)
        _, transform_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fit_peak < images.nbytes
    assert transform_peak < scaled.nbytes + 8e6  # blocks and what belongs to them


# ---- what goes in -----------------------------------------------------------------------


@each_scaler
@each_per
def test_read_only_and_mapped(per, cls, tmp_path):
    images = pictures(np.float32)
    frozen = images.copy()
    frozen.flags.writeable = False
    np.save(tmp_path / "images.npy", images)
    formula = cls(per=per).fit_transform(images)
    for stored in (frozen, np.load(tmp_path / "images.npy", mmap_mode="r"), images.tolist()):
        for copy in (True, False):
            np.testing.assert_allclose(cls(per=per, copy=copy).fit_transform(stored), formula, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(frozen, images)


@each_scaler
@each_per
@pytest.mark.parametrize("is_view", [False, True], ids=["whole", "view"])
def test_in_place(is_view, per, cls):
    images = pictures()
    stored = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, -1, 1)), 1, -1) if is_view else images.copy()
    scaler = cls(per=per, copy=False).fit(stored)
    formula = cls(per=per).fit_transform(images)
    assert scaler.transform(stored) is stored
    np.testing.assert_allclose(stored, formula, atol=1e-12)
    if per != "sample":
        assert scaler.inverse_transform(stored) is stored
        np.testing.assert_allclose(stored, images, rtol=1e-12)


# ---- InstanceNormalizer -----------------------------------------------------------------


@pytest.mark.parametrize("per, axes", [("image", (1, 2, 3)), ("channel", (1, 2))])
@pytest.mark.parametrize("eps", [0.0, 1e-5, 10.0])
@each_layout
@each_dtype
def test_instance_normalizer(dtype, layout, eps, per, axes):
    options, store, restore = LAYOUTS[layout]
    images = pictures(dtype, gaps=True)
    normalized = restore(InstanceNormalizer(eps, per, **options).transform(store(images)))
    exact = images.astype(float)
    statistic = {"axis": axes, "keepdims": True}
    formula = (exact - np.nanmean(exact, **statistic)) / np.sqrt(np.nanvar(exact, **statistic) + eps)
    np.testing.assert_allclose(normalized, formula, atol=1e-4 if dtype == np.float32 else 1e-12)
    assert normalized.dtype == dtype


def test_flat_images_become_zero():
    images = pictures()
    images[3] = 17.3
    for eps in (0.0, 1e-5):
        np.testing.assert_allclose(InstanceNormalizer(eps).fit_transform(images)[3], 0, atol=1e-9)


def test_a_table_is_images_of_one_row_each():
    X = np.random.default_rng(0).normal(3, 2, (20, 7))
    formula = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    np.testing.assert_allclose(InstanceNormalizer(0.0).transform(X), formula, atol=1e-12)
    np.testing.assert_allclose(StandardScaler(per="sample").transform(X), formula, atol=1e-12)


# ---- without fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scaler",
    [*(cls(per="sample") for cls in SCALERS), MinMaxScaler(data_range=(0, 255)), InstanceNormalizer()],
    ids=str,
)
def test_nothing_to_learn_needs_no_fit(scaler):
    images = pictures()
    expected = clone(scaler).fit(images).transform(images)
    np.testing.assert_array_equal(scaler.transform(images), expected)
    np.testing.assert_array_equal(scaler.transform(flat(images)).reshape(images.shape), expected)
    can_go_back = isinstance(scaler, MinMaxScaler) and scaler.data_range is not None
    assert hasattr(scaler, "inverse_transform") == can_go_back
    with pytest.raises(ValueError, match="X has 30 features"):
        scaler.fit(images).transform(flat(images)[:, :30])
    with pytest.raises(ValueError, match="^channels must be one of"):
        clone(scaler).set_params(channels="middle").transform(images)


def test_what_needs_fit_says_so():
    with pytest.raises(sklearn.exceptions.NotFittedError):
        ZeroCenterer(per="channel").transform(pictures())


# ---- what is refused --------------------------------------------------------------------

IMAGES = pictures()
BAD = {
    "features": (ZeroCenterer(per="image", image_shape=(4, 4)), flat(IMAGES), r"image_shape=\(4, 4\) makes 16 .* 60"),
    "no channels": (ZeroCenterer(per="channel"), flat(IMAGES), "per='channel' needs images .* or image_shape"),
    "table": (StandardScaler(), IMAGES[..., 0], r"takes a table .*got an array of shape \(30, 4, 5\)"),
    "other shape": (
        ZeroCenterer(per="image", image_shape=(5, 4, 3)),
        IMAGES,
        r"must have shape \(5, 4, 3\); got .*\(4, 5, 3\)",
    ),
    "five axes": (ZeroCenterer(per="image"), IMAGES[None], "got shape"),
    "no images": (ZeroCenterer(per="image"), IMAGES[:0], "0 sample"),
    "no pixels": (ZeroCenterer(per="image"), IMAGES[:, :0], "at least one value"),
    "infinity": (ZeroCenterer(per="channel"), IMAGES + np.inf, "contains infinity"),
    "complex": (ZeroCenterer(per="channel"), IMAGES * 1j, "Complex data not supported"),
    "text": (ZeroCenterer(per="channel"), [[["a"]]], "could not convert string to float"),
    "per": (ZeroCenterer(per="pixel"), IMAGES, "^per must be one of .*; got 'pixel'"),
    "shape": (ZeroCenterer(per="image", image_shape=5), IMAGES, r"^image_shape must be .*height, width.*; got 5"),
    "channels": (ZeroCenterer(per="image", channels="both"), IMAGES, "^channels must be one of .*; got 'both'"),
    "dtype": (ZeroCenterer(per="image", dtype="int8"), IMAGES, "^dtype must be one of .*; got 'int8'"),
    "instance": (InstanceNormalizer(per="sample"), IMAGES, "^per must be one of 'image', 'channel'; got 'sample'"),
    "eps": (InstanceNormalizer(eps=-1), IMAGES, "^eps must be a number >= 0; got -1"),
    "width": (MinMaxScaler(data_range=(3, 3)), IMAGES, r"^data_range must be .*low < high; got \(3, 3\)"),
    "target": (MinMaxScaler((1, 0), per="image"), IMAGES, r"^feature_range must be .*low < high; got \(1, 0\)"),
}


@pytest.mark.parametrize("scaler, X, message", BAD.values(), ids=BAD)
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_bad_input(fit, scaler, X, message):
    scaler = clone(scaler)
    before = dict(vars(scaler))
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        getattr(scaler, fit)(X)
    assert vars(scaler) == before


@each_scaler
@each_learned
def test_bad_input_after_fit(per, cls):
    scaler = cls(per=per).fit(IMAGES)
    for X, message in (
        (IMAGES[:, :2], "X has 30 features, but .* is expecting 60"),
        (IMAGES.reshape(N, WIDTH, HEIGHT, CHANNELS), r"must have shape \(4, 5, 3\); got images of shape \(5, 4, 3\)"),
        (IMAGES[0], "features|shape"),
    ):
        for method in (scaler.transform, scaler.inverse_transform, scaler.partial_fit):
            with pytest.raises(ValueError, match=message):
                method(X)
    in_place = IMAGES.copy()
    in_place[20, 1, 1, 1] = np.inf
    before = in_place.copy()
    for method in (scaler.transform, scaler.inverse_transform):
        scaler.set_params(copy=False)
        with pytest.raises(ValueError, match="contains infinity"):
            method(in_place)
        np.testing.assert_array_equal(in_place, before)


@pytest.mark.parametrize("cls", [ZeroCenterer, StandardScaler])
@pytest.mark.parametrize("weight, message", [(np.ones(N - 1), "one entry a row"), (-np.ones(N), "non-negative")])
def test_bad_weights(weight, message, cls):
    with pytest.raises(ValueError, match=message):
        cls(per="channel").fit(IMAGES, sample_weight=weight)


def test_sparse_rows():
    X = scipy.sparse.random(40, 12, 0.3, format="csr", random_state=0)
    scaler = StandardScaler(with_mean=False, per="channel", image_shape=(2, 2, 3)).fit(X)
    np.testing.assert_allclose(scaler.var_, X.toarray().reshape(-1, 3).var(axis=0))
    scaled = scaler.transform(X)
    np.testing.assert_allclose(scaled.toarray().reshape(-1, 3), X.toarray().reshape(-1, 3) / scaler.scale_)
    np.testing.assert_allclose(scaler.inverse_transform(scaled).toarray(), X.toarray())
    with pytest.raises(ValueError, match="sparse X has no statistics of samples"):
        StandardScaler(with_mean=False, per="sample").fit(X)
    for refusing in (ZeroCenterer(), MinMaxScaler(), InstanceNormalizer()):
        with pytest.raises(TypeError, match="[Ss]parse"):
            refusing.fit(X)


# ---- frames, pipelines, pickles ---------------------------------------------------------


@pytest.mark.parametrize("how", ["set_output", "config"])
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_images_have_no_frame(container, how):
    scaler = ZeroCenterer(per="image").fit(IMAGES)
    if how == "set_output":
        scaler.set_output(transform=container)
        copied = clone(scaler).fit(IMAGES)
        with pytest.raises(ValueError, match="takes tables"):
            copied.transform(IMAGES)
    with sklearn.config_context(**({"transform_output": container} if how == "config" else {})):
        with pytest.raises(
            ValueError, match=rf"transform='{container}'\) takes tables .*got images, .*\(30, 4, 5, 3\)"
        ):
            scaler.transform(IMAGES)
        assert scaler.transform(flat(IMAGES)).shape == (N, 60)
        assert not isinstance(scaler.transform(flat(IMAGES)), np.ndarray)


def test_frames_of_pixels():
    frame = pd.DataFrame(flat(IMAGES)).rename(columns="p{}".format)
    scaler = ZeroCenterer(per="channel", image_shape=(HEIGHT, WIDTH, CHANNELS)).set_output(transform="pandas")
    centered = scaler.fit_transform(frame)
    assert list(centered.columns) == list(frame.columns)
    np.testing.assert_allclose(centered, flat(expected(ZeroCenterer, "channel", IMAGES)), atol=1e-11)


def test_in_a_pipeline():
    y = np.arange(N) % 2
    shape = (HEIGHT, WIDTH, CHANNELS)
    model = make_pipeline(
        MinMaxScaler(data_range=(0, 255)), ZeroCenterer(per="channel", image_shape=shape), MLPClassifier(max_iter=2)
    )
    with pytest.warns(match="hasn't converged"):
        assert model.fit(flat(IMAGES), y).predict(flat(IMAGES)).shape == (N,)


@pytest.mark.parametrize("cls", [*SCALERS, InstanceNormalizer])
def test_pickle_and_clone(cls):
    scaler = cls(per="channel", dtype="float32").fit(IMAGES)
    loaded = pickle.loads(pickle.dumps(scaler))
    np.testing.assert_array_equal(loaded.transform(IMAGES), scaler.transform(IMAGES))
    assert vars(clone(scaler)) == scaler.get_params()


@parametrize_with_checks(
    [
        ZeroCenterer(),
        ZeroCenterer(per="image"),
        ZeroCenterer(per="sample"),
        ZeroCenterer(dtype="float32"),
        StandardScaler(per="image"),
        StandardScaler(per="sample"),
        MinMaxScaler(per="image"),
        MinMaxScaler(per="sample"),
        InstanceNormalizer(),
        InstanceNormalizer(eps=0.0),
    ]
)
def test_estimator(estimator, check):
    check(estimator)


# ---- on the device ----------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*SCALERS, InstanceNormalizer])
@pytest.mark.parametrize("per", ["image", "channel", "sample"])
@pytest.mark.parametrize("given", ["f4", "f8", "u1"])
def test_cupy_in_cupy_out(given, per, cls):
    if cls is InstanceNormalizer and per == "sample":
        per = "image"
    images = pictures(given, gaps=given != "u1")
    host = cls(per=per, dtype="float32" if given == "u1" else None).fit(images)
    with standin.installed() as cupy:
        scaler = clone(host).fit(cupy.asarray(images))
        scaled = scaler.transform(cupy.asarray(images))
        assert type(scaled) is standin.ndarray
        assert all(not isinstance(value, standin.ndarray) for value in vars(scaler).values())
        tolerance = 1e-12 if given == "f8" else 1e-4
        np.testing.assert_allclose(scaled.get(), host.transform(images), atol=tolerance)
        if hasattr(host, "inverse_transform"):
            back = scaler.inverse_transform(scaled).get()
            np.testing.assert_allclose(back, images, rtol=1e-4 if given != "f8" else 1e-11)
    assert b"cupy" not in pickle.dumps(scaler)
