"""Centring of features and images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._transformer import MomentScaler, scale_shift_step, shift_scale_step, standardize_step


class ZeroCenterer(MomentScaler):
    """Centre rows or images: subtract a mean, and leave the spread alone.

    ``per`` says which mean: of each feature of a table; the mean image, as AlexNet subtracted it; one mean a channel,
    as VGG did; or each sample's own. Images come as ``(n_samples, height, width)``, with channels last or first, or as
    flat rows, and go as they came. Means are float64 and NaN is a missing value: left out in fit, kept in transform.

    Parameters
    ----------
    per : {"feature", "image", "channel", "sample"}, default="feature"
        What has a mean of its own: each column of a table; each value of an image; each channel, over all its pixels;
        or each sample, over all its values, for which nothing is learned.
    image_shape : tuple of int or None, default=None
        Shape of an image as it is stored, for flat rows: ``(height, width)``, ``(height, width, channels)``, or
        ``(channels, height, width)`` with ``channels="first"``, which is how the files of CIFAR are. None takes it
        from X.
    channels : {"last", "first"}, default="last"
        Where the channels of an image are.
    copy : bool, default=True
        Whether to leave the input of ``transform`` and ``inverse_transform`` alone. False centres in place where that
        can be done: a writeable float array that is computed where it lives.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else. Integer
        images become "float32" without a float64 copy of them on the way.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    mean_ : ndarray, float64
        The mean: of shape ``(n_features,)`` per feature, of the image's shape per image (flat if that is not known),
        ``(n_channels,)`` per channel; not there per sample.
    n_samples_seen_ : int, float or ndarray of the shape of ``mean_``
        Samples seen since ``fit`` or the first ``partial_fit``, missing values left out; with sample weights their sum,
        a float. One number if it is the same for all means.
    image_shape_ : tuple of int or None
        Shape of an image, where it is known.
    n_features_in_ : int
        Number of features, all the values of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
    section 2: the mean image. Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, section 2.1: the mean of each channel.

    Examples
    --------
    >>> import numpy as np
    >>> from sknn.preprocessing import ZeroCenterer
    >>> images = np.arange(24, dtype="uint8").reshape(2, 2, 2, 3)  # two images of 2 x 2 pixels and 3 channels
    >>> centerer = ZeroCenterer(per="channel", dtype="float32").fit(images)
    >>> centerer.mean_
    array([10.5, 11.5, 12.5])
    >>> centerer.transform(images)[0, 0, 0]
    array([-10.5, -10.5, -10.5], dtype=float32)
    >>> ZeroCenterer(per="image").fit(images).mean_.shape
    (2, 2, 3)
    """

    def __init__(
        self,
        per: str = "feature",
        *,
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        copy: bool = True,
        dtype: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.copy = copy
        self.dtype = dtype
        self.backend = backend

    def _publish(self, moments, shape):
        self.mean_ = np.where(moments.count > 0, moments.mean, np.nan).reshape(shape)

    def _forward(self, rows, groups, precision):
        if self.per == "sample":
            return [standardize_step(rows.backend, groups, with_std=False)]
        exact = np.float64 if rows.X.dtype.kind == "f" else precision  # a rounded mean would be left in large values
        return [shift_scale_step(rows.backend, groups, exact, self.mean_, 1.0)]

    def _backward(self, rows, groups, precision):
        return [scale_shift_step(rows.backend, groups, precision, 1.0, self.mean_)]
