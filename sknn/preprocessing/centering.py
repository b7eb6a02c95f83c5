"""Mean subtraction for features and images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ._images import FeatureGroups
from ._mapping import Rows, Step
from ._moments import Moments
from ._transformer import MomentScaler, in_units, scale_shift_step, shift_scale_step, standardize_step


class ZeroCenterer(MomentScaler):
    """Subtract the mean of rows or images, without scaling.

    ``per`` selects the mean: the mean of each feature of a table; the mean image, as in AlexNet; the mean of each
    channel, as in VGG; or the mean of each sample. Images have shape ``(n_samples, height, width)``, or four dimensions
    with the channels last or first, or they are flat rows; the output has the shape of the input. Means are computed in
    float64. NaN is treated as a missing value: ignored in fit, kept in transform.

    Parameters
    ----------
    per : {"feature", "image", "channel", "sample"}, default="feature"
        Values that share a mean. "feature": one mean per column of a table. "image": one per position in the image.
        "channel": one per channel, over all pixels. "sample": one per sample, over all its values; this needs no fit.
    image_shape : tuple of int or None, default=None
        Shape of one image, needed if X has flat rows: ``(height, width)`` for one channel,
        ``(height, width, channels)``, or ``(channels, height, width)`` with ``channels="first"``, the order of the
        CIFAR files. None uses the shape of the images in X.
    channels : {"last", "first"}, default="last"
        Position of the channel axis in an image.
    copy : bool, default=True
        If True, ``transform`` and ``inverse_transform`` do not change their input. If False, they work in place where
        possible: a writeable float array on the device of the computation.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float16, float32 and float64, and converts other types to
        float64.
        With "float32", integer images are converted without an intermediate float64 copy.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    mean_ : ndarray, float64
        Means, of shape ``(n_features,)`` for "feature", the shape of an image for "image" (flat if it is unknown) and
        ``(n_channels,)`` for "channel". Does not exist for "sample".
    n_samples_seen_ : int, float or ndarray of the shape of ``mean_``
        Number of samples since ``fit`` or the first ``partial_fit``, without missing values; with sample weights, the
        sum of weights (float). A single number if it is the same for all means.
    image_shape_ : tuple of int or None
        Shape of one image; None if it is unknown.
    n_features_in_ : int
        Number of features; for images, the number of values of one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

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
        dtype: DTypeLike | None = None,
        backend: str | None = None,
    ) -> None:
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.copy = copy
        self.dtype = dtype
        self.backend = backend

    def _publish(self, moments: Moments, shape: tuple[int, ...]) -> None:
        self.mean_ = np.where(moments.count > 0, moments.mean, np.nan).reshape(shape)

    def _forward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        if self.per == "sample":
            return [standardize_step(rows.backend, groups, with_std=False)]
        exact = np.float64 if rows.X.dtype.kind == "f" else precision  # a rounded mean would be left in large values
        return [shift_scale_step(rows, groups, exact, *in_units(exact, self.mean_, 1.0))]

    def _backward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        return [scale_shift_step(rows, groups, precision, *in_units(precision, self.mean_, 1.0))]
