"""Scalers of images: exact formulas, weights, blocks, memory, whatever is missing or refused, scikit-learn's checks."""

import itertools
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
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

import sknn._backend
from sknn._backend import reference
from sknn.preprocessing import InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer
from tests.support import cupy_standin
from tests.support.designs import all_pairs, in_turns, shared_out

N, HEIGHT, WIDTH, CHANNELS = 24, 3, 4, 2
SHAPE, PLANES = (HEIGHT, WIDTH, CHANNELS), (CHANNELS, HEIGHT, WIDTH)
LEARNED = [*itertools.product([ZeroCenterer, StandardScaler, MinMaxScaler], ["image", "channel"])]
STATELESS = [
    *itertools.product([ZeroCenterer, StandardScaler, MinMaxScaler], ["sample"]),
    *itertools.product([InstanceNormalizer], ["image", "channel"]),
]
each_learned = pytest.mark.parametrize("cls, per", LEARNED)
each_stateless = pytest.mark.parametrize("cls, per", STATELESS)
each_scaler = pytest.mark.parametrize("cls, per", [*LEARNED, *STATELESS])
each_moments = pytest.mark.parametrize("cls, per", [pair for pair in LEARNED if pair[0] is not MinMaxScaler])
each_set_of_kernels = pytest.mark.parametrize("kernels", ["compiled", "plain"], indirect=True)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
STATISTICS = ["mean_", "var_", "scale_", "n_samples_seen_", "data_min_", "data_max_", "data_range_", "min_"]


@pytest.fixture
def kernels(request, monkeypatch):
    """Both sets of kernels on the CPU: compiled, and in plain NumPy."""
    if request.param == "plain":
        plain = reference.Backend(np)
        monkeypatch.setattr(sknn._backend, "_numpy_backend", lambda: plain)


def pictures(dtype="float64", gaps=False, n=N, shape=SHAPE):
    """Return images with integer values from 0 to 255, all sums of which are exact, of unlike channels."""
    rng = np.random.default_rng(5)
    images = rng.integers([10, 150], [160, 256], (n, *shape)).astype(dtype)
    if gaps:
        images[2:][rng.random((n - 2, *shape)) < 0.2] = np.nan  # but two values of each pixel are there
    return images


def weights():
    return np.random.default_rng(6).integers(0, 4, N).astype(float)


def flat(images):
    return images.reshape(len(images), -1)


def axes_of(cls, per, images, channels="last"):
    """Return the axes of images over which statistics are taken."""
    everything = tuple(range(images.ndim))
    channel = {3: None, 4: 3 if channels == "last" else 1}[images.ndim]
    if cls is InstanceNormalizer:
        return tuple(axis for axis in everything[1:] if per == "image" or axis != channel)
    if per == "sample":
        return everything[1:]
    return (0,) if per == "image" else tuple(axis for axis in everything if axis != channel)


def formula(cls, per, images, channels="last", eps=1e-5):
    """Return what a scaler makes of images, in float64."""
    images = np.asarray(images, float)
    statistic = {"axis": axes_of(cls, per, images, channels), "keepdims": True}
    if cls is MinMaxScaler:
        low = np.nanmin(images, **statistic)
        return (images - low) / (np.nanmax(images, **statistic) - low)
    centered = images - np.nanmean(images, **statistic)
    if cls is ZeroCenterer:
        return centered
    variance = np.nanvar(images, **statistic)
    return centered / np.sqrt(variance + (eps if cls is InstanceNormalizer else 0))


def rounding_of(dtype):
    """Return the tolerance for numbers up to 255 that were centred, and then divided by no less than 1."""
    return 255 * 8 * np.finfo(dtype).eps


def assert_same_statistics(found, expected, rtol=1e-12):
    assert vars(found).keys() == vars(expected).keys()
    for name in STATISTICS:
        if hasattr(expected, name):
            assert np.shape(getattr(found, name)) == np.shape(getattr(expected, name)), name
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=rtol, err_msg=name)


# ---- formulas ---------------------------------------------------------------------------


@all_pairs(
    each_scaler, each_dtype, pytest.mark.parametrize("given", ["u1", "i1", "u2", "f4", "f8"]), each_set_of_kernels
)
def test_images_without_channels(given, dtype, cls, per, kernels):
    images = (pictures("f8", gaps=given[0] == "f")[..., 0] // 2).astype(given)
    scaled = cls(per=per, dtype=dtype).fit(images).transform(images)
    assert scaled.dtype == dtype
    # a single channel: "channel" is over all images, or for InstanceNormalizer over all of one
    np.testing.assert_allclose(scaled, formula(cls, per, images), rtol=0, atol=rounding_of(dtype))


@all_pairs(
    each_scaler,
    pytest.mark.parametrize("dtype", ["u1", "f4", "f8"]),
    pytest.mark.parametrize("channels", ["last", "first"]),
    pytest.mark.parametrize("form", ["images", "rows", "view"]),
    each_set_of_kernels,
)
def test_images_with_channels(form, channels, dtype, cls, per, kernels):
    images = pictures("i8") // 2
    images = (images if channels == "last" else np.moveaxis(images, -1, 1)).astype(dtype, order="C")
    if form == "view":  # of images stored the other way round, of which no row lies in one piece
        images = np.asfortranarray(images)
    stored = flat(images) if form == "rows" else images
    before = stored.copy()
    scaler = cls(per=per, channels=channels, image_shape=images.shape[1:], dtype="float32" if dtype != "f8" else None)
    scaled = scaler.fit(stored).transform(stored)
    assert scaled.shape == stored.shape
    np.testing.assert_array_equal(stored, before)
    expected = formula(cls, per, images, channels).reshape(stored.shape)
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=rounding_of(scaled.dtype))


@all_pairs(each_learned, each_dtype, pytest.mark.parametrize("channels", ["last", "first"]), each_set_of_kernels)
def test_the_way_back(channels, dtype, cls, per, kernels):
    images = pictures(dtype, gaps=True) - 90
    images = images if channels == "last" else np.moveaxis(images, -1, 1)
    scaler = cls(per=per, channels=channels).fit(images)
    back = scaler.inverse_transform(scaler.transform(images))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, images, rtol=0, atol=rounding_of(dtype))
    rows = scaler.inverse_transform(flat(scaler.transform(images)))
    np.testing.assert_array_equal(rows, flat(back))


@each_learned
@each_set_of_kernels
def test_published_statistics(cls, per, kernels):
    images = pictures(gaps=True)
    scaler = cls(per=per).fit(images)
    axes = axes_of(cls, per, images)
    shape = SHAPE if per == "image" else (CHANNELS,)
    expected = {
        "mean_": np.nanmean(images, axis=axes),
        "var_": np.nanvar(images, axis=axes),
        "data_min_": np.nanmin(images, axis=axes),
        "data_max_": np.nanmax(images, axis=axes),
        "data_range_": np.nanmax(images, axis=axes) - np.nanmin(images, axis=axes),
    }
    if cls is MinMaxScaler:
        expected = {**expected, "scale_": 1 / expected["data_range_"]}
        expected["min_"] = -expected["data_min_"] * expected["scale_"]
        assert scaler.n_samples_seen_ == N
    else:
        expected["scale_"] = np.where(expected["var_"] == 0, 1, np.sqrt(expected["var_"]))
        seen = (~np.isnan(images)).sum(axis=axes)
        np.testing.assert_allclose(scaler.n_samples_seen_, seen / (1 if per == "image" else HEIGHT * WIDTH), rtol=1e-15)
    published = {name for name in expected if hasattr(scaler, name)}
    assert (
        published
        == {
            ZeroCenterer: {"mean_"},
            StandardScaler: {"mean_", "var_", "scale_"},
            MinMaxScaler: {"data_min_", "data_max_", "data_range_", "scale_", "min_"},
        }[cls]
    )
    for name in published:
        found = getattr(scaler, name)
        assert found.shape == shape and found.dtype == np.float64
        np.testing.assert_allclose(found, expected[name], rtol=1e-13, atol=1e-13, err_msg=name)
    assert scaler.image_shape_ == SHAPE
    assert scaler.n_features_in_ == HEIGHT * WIDTH * CHANNELS
    assert list(scaler.get_feature_names_out()) == [f"x{i}" for i in range(24)]


@each_stateless
def test_what_is_published_where_nothing_is_learned(cls, per):
    scaler = cls(per=per).fit(pictures())
    learned = {name for name in vars(scaler) if name.endswith("_")}
    assert learned == {"image_shape_", "n_features_in_"}
    assert (scaler.image_shape_, scaler.n_features_in_) == (SHAPE, 24)
    assert not hasattr(scaler, "inverse_transform")
    with pytest.raises(AttributeError, match="inverse_transform"):
        _ = cls(per=per).inverse_transform
    assert not scaler.__sklearn_tags__().requires_fit


@each_learned
def test_what_is_learned_can_be_undone(cls, per):
    scaler = cls(per=per)
    assert hasattr(scaler, "inverse_transform") and scaler.__sklearn_tags__().requires_fit
    for method in (scaler.transform, scaler.inverse_transform):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            method(pictures())


@each_scaler
@pytest.mark.parametrize("channels, shape", [("last", SHAPE), ("first", PLANES)])
def test_images_and_their_rows_are_the_same(channels, shape, cls, per):
    images = pictures(gaps=True).reshape(-1, *shape)
    scaler = cls(per=per, channels=channels, image_shape=list(shape))
    of_images, of_rows = clone(scaler).fit(images), clone(scaler).fit(flat(images))
    assert_same_statistics(of_rows, of_images, rtol=0)
    assert of_rows.image_shape_ == of_images.image_shape_ == shape
    expected = of_images.transform(images)
    for fitted in (of_images, of_rows):
        np.testing.assert_array_equal(fitted.transform(images), expected)
        np.testing.assert_array_equal(fitted.transform(flat(images)), flat(expected))


# ---- InstanceNormalizer -----------------------------------------------------------------


@all_pairs(
    pytest.mark.parametrize("per, axes", [("image", (1, 2, 3)), ("channel", (1, 2))]),
    pytest.mark.parametrize("eps", [0, 1e-5, 1.0, 1e4]),
    pytest.mark.parametrize("scale", [1, 1e-4]),
    each_set_of_kernels,
)
def test_the_mean_becomes_zero_and_the_variance_less_than_one(scale, eps, per, axes, kernels):
    images = pictures(gaps=True) * scale
    normalized = InstanceNormalizer(eps, per).transform(images)
    variance = np.nanvar(images, axis=axes)
    np.testing.assert_allclose(np.nanmean(normalized, axis=axes), 0, atol=1e-13)
    np.testing.assert_allclose(np.nanvar(normalized, axis=axes), variance / (variance + eps), rtol=1e-12)


@all_pairs(
    pytest.mark.parametrize("per", ["image", "channel"]),
    pytest.mark.parametrize("eps", [0.0, 1e-5]),
    pytest.mark.parametrize("value", [0, 255, 0.1, -1e9 / 3]),
    each_dtype,
    each_set_of_kernels,
)
def test_flat_images_are_only_centred(dtype, value, eps, per, kernels):
    images = np.full((2, 30, 41, 3), value, dtype)
    # the bound for a mean of n equal values is n roundings of the value: Higham, "Accuracy and Stability", section 4.2
    atol = images[0].size * abs(value) * np.finfo(float).eps / (np.sqrt(eps) if eps else 1)
    np.testing.assert_allclose(InstanceNormalizer(eps, per).transform(images), 0, atol=atol)


@pytest.mark.parametrize("eps", [1e-30, 1e-80, 1e-100])
@each_dtype
@each_set_of_kernels
def test_flat_images_become_zero_whatever_eps(dtype, eps, kernels):
    images = np.stack([np.full(SHAPE, 5), np.zeros(SHAPE)]).astype(dtype)
    np.testing.assert_array_equal(InstanceNormalizer(eps).transform(images), np.zeros_like(images))


def test_brightness_and_contrast_are_removed():
    images = pictures()
    other = images * np.linspace(0.5, 3, N)[:, None, None, None] + np.linspace(-90, 90, N)[:, None, None, None]
    np.testing.assert_allclose(
        InstanceNormalizer(0).transform(other), InstanceNormalizer(0).transform(images), atol=1e-12
    )


@each_stateless
@each_set_of_kernels
def test_samples_do_not_know_of_one_another(cls, per, kernels):
    images = pictures("f4", gaps=True, n=300, shape=(16, 16, 2))
    together = cls(per=per).fit(images[:1]).transform(images)
    alone = np.concatenate([cls(per=per).transform(images[[i]]) for i in range(0, 300, 50)])
    np.testing.assert_array_equal(together[::50], alone)


# ---- missing values ---------------------------------------------------------------------


@each_stateless
@each_dtype
@each_set_of_kernels
def test_a_sample_without_any_value_stays_so(dtype, cls, per, kernels):
    images = pictures(dtype, gaps=True)
    images[3] = np.nan
    images[7, ..., 1] = np.nan
    scaled = cls(per=per).transform(images)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(images))
    rest = np.delete(images, [3, 7], axis=0)
    expected = formula(cls, per, rest)
    np.testing.assert_allclose(np.delete(scaled, [3, 7], axis=0), expected, rtol=0, atol=rounding_of(dtype))


@each_learned
@each_set_of_kernels
def test_what_was_never_seen_is_unknown(cls, per, kernels):
    images = pictures()
    images[..., 1] = np.nan
    scaler = cls(per=per).fit(images)
    for name in set(STATISTICS) - {"n_samples_seen_"}:
        if hasattr(scaler, name):
            unknown = np.isnan(getattr(scaler, name))
            assert unknown[..., 1].all() and not unknown[..., 0].any()
    assert np.isnan(scaler.transform(pictures())[..., 1]).all()
    np.testing.assert_allclose(
        scaler.transform(images)[..., 0], formula(cls, per, images[..., :1])[..., 0], atol=rounding_of("f8")
    )
    scaler.partial_fit(pictures())  # and then it is
    again = cls(per=per).fit(np.concatenate([images, pictures()]))
    assert_same_statistics(scaler, again)


# ---- weights and pieces -----------------------------------------------------------------


@all_pairs(
    each_moments, pytest.mark.parametrize("gaps", [False, True], ids=["full", "gaps"]), each_dtype, each_set_of_kernels
)
def test_weights(dtype, gaps, cls, per, kernels):
    images, weight = pictures(dtype, gaps), weights()
    weighted = cls(per=per).fit(images, sample_weight=weight)
    repeated = np.repeat(images, weight.astype(int), axis=0)
    assert_same_statistics(weighted, cls(per=per).fit(repeated))
    share = np.where(np.isnan(images), 0, weight[:, None, None, None])
    axes = axes_of(cls, per, images)
    exact = np.nan_to_num(images.astype(float))
    np.testing.assert_allclose(weighted.mean_, (share * exact).sum(axis=axes) / share.sum(axis=axes), rtol=1e-13)
    halved = cls(per=per).fit(images, sample_weight=weight / 2)
    np.testing.assert_allclose(halved.mean_, weighted.mean_, rtol=1e-14)
    assert isinstance(np.ravel(halved.n_samples_seen_)[0], np.floating)
    np.testing.assert_allclose(halved.n_samples_seen_ * 2, weighted.n_samples_seen_, rtol=1e-14)


@each_learned
@settings(max_examples=40)
@given(
    cuts=st.lists(st.integers(1, N - 1), unique=True, max_size=8).map(sorted),
    options=st.fixed_dictionaries({"weighted": st.booleans(), "gaps": st.booleans(), "as_rows": st.booleans()}),
    dtype=st.sampled_from(["float32", "float64", "uint8"]),
)
@pytest.mark.fast_share(4)
def test_any_pieces_are_one_fit(cls, per, cuts, options, dtype):
    images = pictures(dtype, gaps=options["gaps"] and dtype != "uint8")
    weight = weights() + 0.25 if options["weighted"] and cls is not MinMaxScaler else None
    scaler = cls(per=per, image_shape=SHAPE)
    for i, (start, stop) in enumerate(itertools.pairwise([0, *cuts, N])):
        piece = images[start:stop]
        piece = flat(piece) if options["as_rows"] and i % 2 else piece
        scaler.partial_fit(piece, **({} if weight is None else {"sample_weight": weight[start:stop]}))
    whole = cls(per=per, image_shape=SHAPE).fit(images, **({} if weight is None else {"sample_weight": weight}))
    assert_same_statistics(scaler, whole)


@each_learned
def test_fit_starts_anew(cls, per):
    scaler = cls(per=per).fit(np.full((2, 5, 5, 3), 1e6)).fit(pictures())
    assert_same_statistics(scaler, cls(per=per).fit(pictures()), rtol=0)
    assert scaler.image_shape_ == SHAPE


@each_moments
def test_channels_far_from_zero(cls, per):
    images = pictures() + 1e9
    exact = pictures()  # of integers: their sums are exact
    axes = axes_of(cls, per, images)
    scaler = cls(per=per)
    for piece in np.split(images, [1, 7]):
        scaler.partial_fit(piece)
    np.testing.assert_allclose(scaler.mean_ - 1e9, exact.mean(axis=axes), rtol=0, atol=2e-7)
    if cls is StandardScaler:
        np.testing.assert_allclose(scaler.var_, exact.var(axis=axes), rtol=1e-12)


# ---- blocks and memory ------------------------------------------------------------------


@each_scaler
@pytest.mark.parametrize("shape", [(800, 60, 50, 1), (2, 1024, 1040, 1)], ids=str)
@pytest.mark.fast_share(5)
def test_images_of_many_blocks_and_blocks_within_an_image(shape, cls, per):
    images = np.random.default_rng(0).integers(0, 250, shape, dtype=np.uint8)
    images[-1] = images[0] // 2 + 130  # there is no pixel without any variance
    scaled = cls(per=per, dtype="float32").fit(images).transform(images)
    some = np.s_[:, ::97, ::49]
    if per == "sample" or cls is InstanceNormalizer or per == "channel":
        axes = axes_of(cls, per, images)
        statistic = {"axis": axes, "keepdims": True, "dtype": float}
        low, high = images.min(axis=axes, keepdims=True).astype(float), images.max(axis=axes, keepdims=True)
        mean, std = images.mean(**statistic), images.std(**statistic)
    else:
        part = images[some].astype(float)
        low, high = part.min(axis=0), part.max(axis=0)
        mean, std = part.mean(axis=0), part.std(axis=0)
    expected = {
        ZeroCenterer: lambda x: x - mean,
        StandardScaler: lambda x: (x - mean) / std,
        MinMaxScaler: lambda x: (x - low) / (high - low),
        InstanceNormalizer: lambda x: (x - mean) / np.sqrt(std**2 + 1e-5),
    }[cls](images[some].astype(float))
    np.testing.assert_allclose(scaled[some], expected, rtol=0, atol=rounding_of("f4"))


@each_scaler
@pytest.mark.parametrize("form", ["images", "rows", "view"])
@pytest.mark.fast_share(4)
def test_bytes_have_no_copy_of_floats(form, cls, per):
    images = np.random.default_rng(0).integers(256, size=(3000, 3, 20, 24), dtype=np.uint8)
    stored = {"images": images, "rows": flat(images), "view": np.moveaxis(images, 1, -1)}[form]
    channels = {"channels": "last" if form == "view" else "first"}
    scaler = cls(per=per, dtype="float32", image_shape=None if form != "rows" else (3, 20, 24), **channels)
    scaler.fit(stored[:50]).transform(stored[:50])
    tracemalloc.start()
    try:
        scaler.fit(stored)
        fit_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        scaled = scaler.transform(stored)
        peak = tracemalloc.get_traced_memory()[1]
        if hasattr(scaler, "inverse_transform"):
            tracemalloc.reset_peak()
            scaler.set_params(copy=False).inverse_transform(scaled)
            assert tracemalloc.get_traced_memory()[1] < scaled.nbytes + images.nbytes
    finally:
        tracemalloc.stop()
    float64_copy = 8 * images.size
    assert fit_peak < float64_copy / 2
    assert peak < scaled.nbytes + float64_copy / 2


# ---- what goes in -----------------------------------------------------------------------


def frozen(images):
    images = images.copy()
    images.flags.writeable = False
    return images


LAYOUTS = {
    "read-only": frozen,
    "read-only view": lambda images: np.moveaxis(frozen(np.moveaxis(images, -1, 1)), 1, -1),
    "reversed": lambda images: images[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda images: np.repeat(images, 2, axis=2)[:, :, ::2],
    "F order": np.asfortranarray,
    "broadcast": lambda images: np.broadcast_to(images[:1], images.shape),
    "lists": lambda images: images.tolist(),
    "big-endian": lambda images: images.astype(images.dtype.newbyteorder(">")),
    "objects": lambda images: images.astype(object),
}


@in_turns(
    pytest.mark.parametrize("layout", LAYOUTS),
    each_scaler,
    pytest.mark.parametrize("in_place", [False, True], ids=["copy", "in place"]),
    times=6,
)
def test_layouts(in_place, layout, cls, per):
    images = pictures(gaps=True)
    laid_out = LAYOUTS[layout](images)
    images = np.array(laid_out, float)
    if layout == "broadcast" and per == "image" and cls is not InstanceNormalizer:
        expected = np.zeros_like(images) + 0 * images
    else:
        expected = formula(cls, per, images)
    scaled = cls(per=per, copy=not in_place).fit(laid_out).transform(laid_out)
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=rounding_of("f8"))
    if not in_place or layout in ("read-only", "read-only view", "broadcast"):
        np.testing.assert_array_equal(np.array(laid_out, float), images)


@each_scaler
@pytest.mark.parametrize("mode", ["r", "c"])
def test_memory_maps(mode, cls, per, tmp_path):
    images = pictures(gaps=True)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode=mode)
    scaled = cls(per=per, copy=False).fit(mapped).transform(mapped)
    np.testing.assert_allclose(scaled, formula(cls, per, images), rtol=0, atol=rounding_of("f8"))
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)


@all_pairs(each_scaler, each_dtype, pytest.mark.parametrize("form", ["images", "rows", "view"]))
def test_in_place_is_in_place(form, dtype, cls, per):
    images = pictures(dtype, gaps=True)
    stored = {
        "images": images.copy(),
        "rows": flat(images).copy(),
        "view": np.moveaxis(np.moveaxis(images, -1, 1).copy(), 1, -1),
    }[form]
    scaler = cls(per=per, image_shape=SHAPE).fit(stored)
    expected = scaler.transform(stored)
    assert not np.shares_memory(expected, stored)
    np.testing.assert_array_equal(stored, images.reshape(stored.shape))
    assert scaler.set_params(copy=False).transform(stored) is stored
    np.testing.assert_array_equal(stored, expected)
    if hasattr(scaler, "inverse_transform"):
        back = clone(scaler).set_params(copy=True).fit(images).inverse_transform(expected)
        assert scaler.inverse_transform(stored) is stored
        np.testing.assert_array_equal(stored, back)


@each_scaler
def test_what_has_another_type_is_not_changed_in_place(cls, per):
    for kind, dtype in (("u1", "float32"), ("u1", None), ("f4", "float64"), ("f8", "float32")):
        images = pictures(kind)
        scaled = cls(per=per, dtype=dtype, copy=False).fit(images).transform(images)
        np.testing.assert_array_equal(images, pictures(kind), strict=True)
        assert scaled.dtype == (dtype or "float64")


# ---- what is refused --------------------------------------------------------------------

IMAGES = pictures()
BAD_IMAGES = {
    "wrong rows": (
        dict(image_shape=(3, 3)),
        flat(IMAGES),
        r"image_shape=\(3, 3\) needs X with 9 features per row; got .* 24",
    ),
    "wrong images": (dict(image_shape=PLANES), IMAGES, r"must have images of shape \(2, 3, 4\); got .*\(3, 4, 2\)"),
    "five axes": ({}, IMAGES[None], r"X must have shape .*; got shape \(1, 24, 3, 4, 2\)"),
    "no images": ({}, IMAGES[:0], "0 sample"),
    "no height": ({}, IMAGES[:, :0], "at least one value"),
    "no channels": ({}, IMAGES[..., :0], "at least one value"),
    "one axis": ({}, IMAGES[0, 0, 0], "Expected 2D array"),
    "text": ({}, [[["a", "b"]]], "could not convert string to float"),
    "ragged": ({}, [[[1, 2], [3]]], "inhomogeneous shape"),
    "complex": ({}, IMAGES * 1j, "Complex data not supported"),
    "infinity": ({}, np.where(IMAGES > 250, np.inf, IMAGES), r"contains infinity .*float64"),
    "minus infinity": ({}, np.where(IMAGES > 250, -np.inf, IMAGES).astype("f4"), r"contains infinity .*float32"),
    "both infinities": ({}, np.where(IMAGES > 200, np.inf, -np.inf), "contains infinity"),
    "per": (dict(per="pixel"), IMAGES, "^per must be one of .*; got 'pixel'"),
    "channels": (dict(channels="middle"), IMAGES, "^channels must be one of 'last', 'first'; got 'middle'"),
    "dtype": (dict(dtype="float16"), IMAGES, "^dtype must be one of None, 'float32', 'float64'; got 'float16'"),
    "copy": (dict(copy="no"), IMAGES, "^copy must be True or False; got 'no'"),
    **{
        f"image_shape={shape}": (dict(image_shape=shape), IMAGES, "^image_shape must be .*height, width.*; got ")
        for shape in [24, (24,), (1, 2, 3, 4), (3, 0, 2), (3.0, 4, 2), "3x4", (True, 4), (-3, -4, 2)]
    },
}
each_bad_images = pytest.mark.parametrize("options, X, message", BAD_IMAGES.values(), ids=BAD_IMAGES)


@in_turns(each_bad_images, each_scaler, times=3)
def test_bad_input(options, X, message, cls, per):
    scaler = cls(**{"per": per, **options})
    before = dict(vars(scaler))
    for fit in (scaler.fit, scaler.partial_fit, scaler.fit_transform):
        with pytest.raises(ValueError, match=message):
            fit(X)
        assert vars(scaler) == before


@in_turns(each_bad_images, each_stateless, times=2)
def test_bad_input_without_fit(options, X, message, cls, per):
    if options.get("per") == "pixel":
        pytest.raises(ValueError, cls(per="pixel").fit, X)  # is not stateless
        return
    scaler = cls(**{"per": per, **options})
    before = dict(vars(scaler))
    with pytest.raises(ValueError, match=message):
        scaler.transform(X)
    assert vars(scaler) == before


@each_scaler
def test_bad_input_after_fit(cls, per):
    scaler = cls(per=per).fit(IMAGES)
    state = pickle.dumps(scaler)
    methods = [scaler.transform, scaler.partial_fit]
    methods += [scaler.inverse_transform] if hasattr(scaler, "inverse_transform") else []
    for method in methods:
        with pytest.raises(ValueError, match=f"X has 12 features, but {cls.__name__} is expecting 24 features"):
            method(IMAGES[..., 0])
        with pytest.raises(ValueError, match="X has 23 features"):
            method(flat(IMAGES)[:, 1:])
        for other in (PLANES, (4, 3, 2), (6, 4), (24, 1)):
            with pytest.raises(ValueError, match=r"must have images of shape \(3, 4, 2\); got images of shape"):
                method(IMAGES.reshape(N, *other))
        with pytest.raises(ValueError, match="X must have shape"):
            method(IMAGES.reshape(N, 3, 2, 2, 2))
        with pytest.raises(ValueError, match="0 sample"):
            method(IMAGES[:0])
    assert pickle.dumps(scaler) == state


@pytest.mark.parametrize("cls", [ZeroCenterer, StandardScaler, MinMaxScaler, InstanceNormalizer])
def test_channels_of_rows_need_the_shape(cls):
    with pytest.raises(
        ValueError, match=r"per='channel' needs images .*or flat rows and image_shape=.* got flat rows of 24 features"
    ):
        cls(per="channel").fit(flat(IMAGES))


@pytest.mark.parametrize("cls", [ZeroCenterer, StandardScaler, MinMaxScaler])
@pytest.mark.parametrize("X", [IMAGES, IMAGES[..., 0]], ids=["4-D", "3-D"])
def test_tables_have_no_images(X, cls):
    for call in (cls().fit, cls().fit_transform, cls().fit(flat(X)).transform, cls().fit(flat(X)).inverse_transform):
        with pytest.raises(
            ValueError, match="takes a table .*got an array of shape .*per='image', 'channel' or 'sample'"
        ):
            call(X)


@pytest.mark.parametrize("eps", [-1e-9, None, "small", np.nan])
def test_bad_eps(eps):
    for method in ("fit", "transform"):
        with pytest.raises(ValueError, match="^eps must be a number >= 0; got"):
            getattr(InstanceNormalizer(eps), method)(IMAGES)


def test_instances_are_images_or_channels():
    for per in ("sample", "feature"):
        with pytest.raises(ValueError, match=f"^per must be one of 'image', 'channel'; got '{per}'"):
            InstanceNormalizer(per=per).transform(flat(IMAGES))


BAD_WEIGHTS = {
    "too few": (np.ones(N - 1), "sample_weight must have one entry per row"),
    "negative": (np.full(N, -1.0), "sample_weight must be non-negative"),
    "zero": (np.zeros(N), "sample_weight must not be zero"),
    "missing": (np.full(N, np.nan), "sample_weight contains NaN"),
    "of pixels": (np.ones((N, 24)), "1D array"),
}


@each_moments
@pytest.mark.parametrize("weight, message", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights(weight, message, cls, per):
    scaler = cls(per=per).fit(IMAGES)
    state = pickle.dumps(scaler)
    for fit in (scaler.fit, scaler.partial_fit):
        with pytest.raises(ValueError, match=message):
            fit(IMAGES, sample_weight=weight)
    assert pickle.dumps(scaler) == state


@pytest.mark.parametrize("per", ["image", "channel"])
def test_ranges_have_no_weights(per):
    with pytest.raises(TypeError, match="sample_weight"):
        MinMaxScaler(per=per).fit(IMAGES, sample_weight=np.ones(N))


@all_pairs(
    each_scaler,
    pytest.mark.parametrize("form", ["images", "rows", "view"]),
    pytest.mark.parametrize("place, infinity", [(0, np.inf), (12_345, -np.inf), (-1, np.inf)]),
    each_set_of_kernels,
)
@pytest.mark.fast_share(5)
def test_infinity_leaves_the_array_alone(infinity, place, form, cls, per, kernels):
    images = np.tile(pictures("f4"), (150, 2, 1, 1))  # of more than one block
    scaler = cls(per=per, copy=False, image_shape=images.shape[1:]).fit(images[:100])
    np.reshape(images, -1)[place] = infinity
    stored = {
        "images": images,
        "rows": flat(images),
        "view": np.moveaxis(np.moveaxis(images, -1, 1).copy(), 1, -1),
    }[form]
    before = stored.copy()
    for method in ("transform", "inverse_transform", "fit", "partial_fit"):
        if hasattr(scaler, method):
            with pytest.raises(ValueError, match=r"Input X contains infinity .*float32"):
                getattr(scaler, method)(stored)
            np.testing.assert_array_equal(stored, before)


@all_pairs(
    pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "fit_transform"]),
    pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.coo_array]),
    pytest.mark.parametrize("cls, per", [pair for pair in [*LEARNED, *STATELESS] if pair[0] is not StandardScaler]),
)
def test_sparse_rows_are_refused(cls, per, container, method):
    scaler = cls(per=per, image_shape=SHAPE).fit(flat(IMAGES))
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        getattr(scaler, method)(container(flat(IMAGES)))


def test_sparse_rows_have_no_samples():
    rows = scipy.sparse.csr_array(flat(IMAGES))
    for method in ("fit", "transform", "partial_fit"):
        with pytest.raises(ValueError, match="per must be 'feature', 'image' or 'channel' for sparse X; got 'sample'"):
            getattr(StandardScaler(with_mean=False, per="sample").fit(flat(IMAGES)), method)(rows)
    with pytest.raises(ValueError, match="Cannot center sparse matrices"):
        StandardScaler(per="channel", image_shape=SHAPE).fit(rows)


@pytest.mark.parametrize("per", ["image", "channel"])
@pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_sparse_rows_of_images(container, per):
    images = np.where(pictures() < 120, 0, pictures())
    axes = axes_of(StandardScaler, per, images)
    scaler = StandardScaler(with_mean=False, per=per, image_shape=SHAPE).fit(container(flat(images)))
    np.testing.assert_allclose(scaler.var_, images.var(axis=axes), rtol=1e-13)
    scaled = scaler.transform(container(flat(images)))
    std = images.std(axis=axes)
    np.testing.assert_allclose(scaled.toarray(), flat(images / np.where(std == 0, 1, std)), rtol=1e-13)
    np.testing.assert_allclose(scaler.inverse_transform(scaled).toarray(), flat(images), rtol=1e-14)


# ---- frames, pickles, clones ------------------------------------------------------------


@all_pairs(
    each_scaler,
    pytest.mark.parametrize("container", ["pandas", "polars"]),
    pytest.mark.parametrize("images", [IMAGES, IMAGES[..., 0]], ids=["4-D", "3-D"]),
)
def test_images_have_no_frame(images, container, cls, per):
    scaler = cls(per=per, copy=False, image_shape=images.shape[1:]).fit(images)
    before = images.copy()
    message = rf"set_output\(transform='{container}'\) takes tables .*got images, an array of shape"
    with sklearn.config_context(transform_output=container):
        with pytest.raises(ValueError, match=message):
            scaler.transform(images)
        assert scaler.transform(flat(images).copy()).shape == (N, images[0].size)
        assert scaler.set_output(transform="default").transform(images.copy()).shape == images.shape
    for copied in (scaler.set_output(transform=container), clone(scaler).fit(images)):
        with pytest.raises(ValueError, match=message):
            copied.transform(images)
        with pytest.raises(ValueError, match=message):
            copied.fit_transform(images)
    np.testing.assert_array_equal(images, before)


@each_scaler
def test_frames_of_pixels(cls, per):
    frame = pd.DataFrame(flat(IMAGES), columns=[f"p{i}" for i in range(24)], index=range(100, 100 + N))
    scaler = cls(per=per, image_shape=SHAPE).set_output(transform="pandas")
    for fitted in (scaler.fit(frame), clone(scaler).fit(frame), pickle.loads(pickle.dumps(scaler.fit(frame)))):
        scaled = fitted.transform(frame)
        assert list(scaled.columns) == list(fitted.get_feature_names_out()) == list(frame.columns)
        assert list(scaled.index) == list(frame.index)
        np.testing.assert_allclose(scaled, flat(formula(cls, per, IMAGES)), atol=rounding_of("f8"))
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(frame[frame.columns[::-1]])


@each_scaler
def test_pickle_and_clone(cls, per):
    scaler = cls(per=per, channels="first", image_shape=list(SHAPE), dtype="float32", copy=False).fit(IMAGES)
    loaded = pickle.loads(pickle.dumps(scaler))
    np.testing.assert_array_equal(loaded.transform(IMAGES), scaler.transform(IMAGES))
    assert vars(clone(scaler)) == scaler.get_params()
    assert_same_statistics(loaded.partial_fit(IMAGES), scaler.partial_fit(IMAGES), rtol=0)


# ---- scikit-learn's checks --------------------------------------------------------------

CONFIGURATIONS = [
    ZeroCenterer(),
    ZeroCenterer(per="image", dtype="float32"),
    ZeroCenterer(per="sample"),
    StandardScaler(per="image"),
    StandardScaler(per="image", with_std=False, dtype="float64"),
    StandardScaler(per="sample"),
    StandardScaler(per="sample", with_mean=False),
    MinMaxScaler(per="image", feature_range=(-1, 1)),
    MinMaxScaler(per="sample"),
    InstanceNormalizer(),
    InstanceNormalizer(eps=0, dtype="float32"),
]


def expected_failures(estimator):
    # scikit-learn 1.6 runs this on estimators that do not take sparse input; its own scaler fails it too
    if isinstance(estimator, StandardScaler) and parse_version(sklearn.__version__) < parse_version("1.7"):
        return {"check_sample_weight_equivalence_on_sparse_data": "sparse input is not centred, and has no samples"}
    return {}


@shared_out(parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures), every=4)
@pytest.mark.fast_share(3)
def test_estimator(estimator, check):
    check(estimator)


SPARED = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_n_features_in_after_fitting",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_transformer_preserve_dtypes",
]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")  # which checks of set_output go through
@in_turns(
    pytest.mark.parametrize("check", SPARED), pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str), times=4
)
@pytest.mark.fast_share(5)
def test_check_that_others_are_spared(check, estimator):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


if hasattr(estimator_checks, "check_array_api_input_and_values"):

    @pytest.mark.parametrize("estimator", CONFIGURATIONS, ids=str)
    def test_array_api_of_numpy(estimator):
        check = estimator_checks.check_array_api_input_and_values
        check(type(estimator).__name__, clone(estimator), array_namespace="numpy")


# ---- on the device ----------------------------------------------------------------------


@all_pairs(
    each_scaler,
    pytest.mark.parametrize("given", ["u1", "f4", "f8"]),
    pytest.mark.parametrize(
        "form, backend",
        [
            *itertools.product(["images", "rows", "planes", "grey", "view"], [None]),
            ("images", "cupy"),
            ("view", "numpy"),
        ],
    ),
)
@pytest.mark.fast_share(3)
def test_cupy_in_cupy_out(backend, form, given, cls, per, cupy):
    images = pictures(given, gaps=given != "u1")
    channels = "first" if form == "planes" else "last"
    images = {"planes": np.ascontiguousarray(np.moveaxis(images, -1, 1)), "grey": images[..., 0]}.get(form, images)
    stored = flat(images) if form == "rows" else images
    on_device = cupy.asarray(stored)
    if form == "view":
        on_device = cupy.moveaxis(cupy.asarray(np.ascontiguousarray(np.moveaxis(stored, -1, 1))), 1, -1)
    dtype = np.dtype("f4" if given == "u1" else given)
    scaler = cls(per=per, backend=backend, channels=channels, dtype=dtype.name, image_shape=images.shape[1:])
    scaled = scaler.fit(on_device).transform(on_device)
    assert type(scaled) is cupy_standin.ndarray
    assert scaled.dtype == dtype and scaled.shape == stored.shape
    assert not any(isinstance(value, cupy_standin.ndarray) for value in vars(scaler).values())
    assert backend == "cupy" or b"cupy" not in pickle.dumps(scaler)
    expected = formula(cls, per, images, channels).reshape(stored.shape)
    np.testing.assert_allclose(scaled.get(), expected, rtol=0, atol=rounding_of(dtype))
    np.testing.assert_array_equal(on_device.get(), stored)
    if hasattr(scaler, "inverse_transform"):
        back = scaler.inverse_transform(scaled)
        assert type(back) is cupy_standin.ndarray
        np.testing.assert_allclose(back.get(), stored, rtol=0, atol=rounding_of(dtype))


@each_moments
def test_weights_and_pieces_on_the_device(cls, per, cupy):
    images, weight = pictures("f4", gaps=True), weights() + 0.5
    scaler = cls(per=per)
    for piece in (slice(0, 5), slice(5, N)):
        scaler.partial_fit(cupy.asarray(images[piece]), sample_weight=cupy.asarray(weight[piece]))
    assert_same_statistics(scaler, cls(per=per).fit(images, sample_weight=weight))


@each_scaler
def test_in_place_on_the_device(cls, per, cupy):
    on_device = cupy.asarray(pictures(gaps=True))
    scaler = cls(per=per, copy=False).fit(on_device)
    assert scaler.transform(on_device) is on_device
    np.testing.assert_allclose(on_device.get(), formula(cls, per, pictures(gaps=True)), rtol=0, atol=rounding_of("f8"))
    bad = pictures()
    bad[-1, -1] = np.inf
    bad = cupy.asarray(bad)
    before = bad.get()
    with pytest.raises(ValueError, match="contains infinity"):
        scaler.transform(bad)
    np.testing.assert_array_equal(bad.get(), before)


REFUSED_ON_DEVICE = {
    "five axes": (IMAGES[None], "X must have shape"),
    "no images": (IMAGES[:0], "0 sample"),
    "no channels": (IMAGES[..., :0], "at least one value"),
    "one axis": (IMAGES[0, 0, 0], "Expected 2D array"),
    "complex": (IMAGES * 1j, "Complex data not supported"),
    "infinity": (np.where(IMAGES > 200, np.inf, 0), "contains infinity"),
}


@in_turns(
    pytest.mark.parametrize("X, message", REFUSED_ON_DEVICE.values(), ids=REFUSED_ON_DEVICE), each_scaler, times=4
)
def test_bad_input_on_the_device(X, message, cls, per, cupy):
    with pytest.raises(ValueError, match=message):
        cls(per=per).fit(cupy.asarray(X))


@each_scaler
def test_the_device_has_no_frames(cls, per, cupy):
    scaler = cls(per=per).fit(IMAGES).set_output(transform="pandas")
    with pytest.raises(ValueError, match="set_output.*got a CuPy array"):
        scaler.transform(cupy.asarray(IMAGES))
