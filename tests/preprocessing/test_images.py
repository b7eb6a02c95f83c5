"""What scalers of images make of changed parameters, missing names, large float32 values and other ways of use."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from sknn.preprocessing import InstanceNormalizer, MinMaxScaler, StandardScaler, ZeroCenterer

N, HEIGHT, WIDTH, CHANNELS = 30, 4, 5, 3


def pictures():
    """Return (n, h, w, c) with channels of unlike means and spreads."""
    rng = np.random.default_rng(0)
    return rng.normal([100, 50, 180], [30, 5, 20], (N, HEIGHT, WIDTH, CHANNELS)).clip(0, 255)


def flat(images):
    return images.reshape(len(images), -1)


IMAGES = pictures()


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


def test_no_fit_means_no_names_to_compare():
    frame = pd.DataFrame(flat(pictures()).astype(float)).rename(columns="p{}".format)
    scaler = MinMaxScaler(data_range=(0, 255))
    np.testing.assert_array_equal(scaler.transform(frame), frame.to_numpy() / 255)


@pytest.mark.parametrize("value", [1e4, 1e6])
@pytest.mark.parametrize(
    "scaler",
    [ZeroCenterer(per="sample"), ZeroCenterer(per="image"), InstanceNormalizer(), StandardScaler(per="sample")],
)
def test_means_of_float32_are_not_rounded(scaler, value):
    X = (value + np.random.default_rng(0).normal(size=(200, 60))).astype(np.float32)
    axis = 0 if isinstance(scaler, ZeroCenterer) and scaler.per == "image" else 1
    scaled = clone(scaler).fit(X).transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=axis, dtype=float), 0, atol=1e-6)


def test_parameters_that_change_after_fit():
    images = pictures()
    scaler = StandardScaler(per="channel").fit(images)
    for change in ({"per": "image"}, {"channels": "first"}, {"per": "sample"}):
        changed = pickle.loads(pickle.dumps(scaler)).set_params(**change)
        for method in (changed.transform, changed.partial_fit):
            with pytest.raises(ValueError, match="must stay as they were in fit, .*'channel'.*; got .* Call fit again"):
                method(images)
        changed.fit(images).transform(images)
    known = MinMaxScaler(data_range=(0, 255)).fit(flat(images)).set_params(data_range=None)
    for method in (known.transform, known.partial_fit):
        with pytest.raises(ValueError, match="must stay as they were in fit"):
            method(flat(images))
    with pytest.raises(ValueError, match="^dtype must be one of"):
        scaler.set_params(dtype="int8").transform(images)
    learned = MinMaxScaler(per="channel").fit(images)
    np.testing.assert_array_equal(
        learned.set_params(feature_range=(0, 2)).transform(images), MinMaxScaler(per="channel").fit_transform(images)
    )


def test_types_and_arrays_as_parameters():
    images = pictures()
    scaler = ZeroCenterer(per="channel", image_shape=np.array(images.shape[1:]), dtype=np.float32)
    assert scaler.fit(flat(images)).transform(flat(images)).dtype == np.float32
    assert scaler.image_shape_ == images.shape[1:]
    assert ZeroCenterer(dtype=np.dtype("f8")).fit_transform([[1, 2]]).dtype == np.float64
    np.testing.assert_array_equal(
        MinMaxScaler(np.array([-1, 1])).fit_transform(flat(images)), MinMaxScaler((-1, 1)).fit_transform(flat(images))
    )


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_way_back_makes_no_frames(container):
    images = pictures()
    scaler = ZeroCenterer(per="image").fit(images)
    centered = scaler.transform(images)
    scaler.set_output(transform=container)
    np.testing.assert_allclose(scaler.inverse_transform(centered), images)


def test_in_a_pipeline():
    y = np.arange(N) % 2
    shape = (HEIGHT, WIDTH, CHANNELS)
    model = make_pipeline(
        MinMaxScaler(data_range=(0, 255)), ZeroCenterer(per="channel", image_shape=shape), MLPClassifier(max_iter=2)
    )
    with pytest.warns(match="hasn't converged"):
        assert model.fit(flat(IMAGES), y).predict(flat(IMAGES)).shape == (N,)
