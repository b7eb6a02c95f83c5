"""Images as rows of features: their shape, and which features share a statistic."""

from __future__ import annotations

from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from .._backend.typing import Array
from .._common.moments import Moments, pool

PER = ("feature", "image", "channel", "sample")
CHANNELS = ("last", "first")

Shape: TypeAlias = tuple[int, ...]


class FeatureGroups(NamedTuple):
    """The features of a row, seen as an array of shape ``before, n_groups, after``; a group shares its statistics.

    ``shape`` is the shape in which statistics of the groups are published, ``image_shape`` that of a row, if it is
    known.
    """

    before: int
    n_groups: int
    after: int
    shape: Shape
    image_shape: Shape | None

    @property
    def size(self) -> int:
        """Number of features in a group."""
        return self.before * self.after

    def view(self, block: Array) -> Array:
        """Return rows ``(k, features)`` as ``(k, before, n_groups, after)``."""
        return block.reshape(-1, *self[:3])

    def spread(self, statistic: Array | float) -> Array:
        """Return a published statistic of the groups, or a number, as one entry a feature, ``(features,)``."""
        if isinstance(statistic, np.ndarray) and self.size == 1 and statistic.size == self.n_groups:
            return statistic.reshape(-1)  # as they are: the rest takes longer than all else for a few rows
        if isinstance(statistic, float | int):
            return np.full(self.n_groups * self.size, statistic)
        by_group = np.broadcast_to(np.ravel(statistic), self.n_groups)
        return np.broadcast_to(by_group[:, None], self[:3]).reshape(-1)

    def pool_moments(self, moments: Moments) -> Moments:
        """Return moments of columns as moments of groups, ``(n_groups,)``."""
        return moments if self.size == 1 else pool(moments, self._by_group)

    def pool_extremes(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return extremes of columns as extremes of groups, ``(n_groups,)``."""
        return np.fmin.reduce(self._by_group(low)), np.fmax.reduce(self._by_group(high))

    def _by_group(self, columns: Array) -> Array:
        return np.moveaxis(columns.reshape(self[:3]), 1, -1).reshape(-1, self.n_groups)


def feature_groups(per: str, image_shape: Shape | None, channels: str | None, n_features: int) -> FeatureGroups:
    """Return the groups of features whose statistics are taken ``per`` feature, image, channel or sample."""
    if per == "sample":
        return FeatureGroups(1, 1, n_features, (), image_shape)
    if per == "channel":
        return _channel_groups(image_shape, channels, n_features)
    shape = image_shape if per == "image" and image_shape is not None else (n_features,)
    return FeatureGroups(1, n_features, 1, shape, image_shape)


def _channel_groups(image_shape: Shape | None, channels: str | None, n_features: int) -> FeatureGroups:
    if image_shape is None:
        raise ValueError(
            "per='channel' needs images of shape (n_samples, height, width, channels), or flat rows and "
            f"image_shape=(height, width, channels); got flat rows of {n_features} features and image_shape=None."
        )
    is_last = channels == "last"
    n_channels = 1 if len(image_shape) == 2 else image_shape[-1 if is_last else 0]
    n_positions = n_features // n_channels
    before, after = (n_positions, 1) if is_last else (1, n_positions)
    return FeatureGroups(before, n_channels, after, (n_channels,), image_shape)


def check_image_shape(shape: Shape, image_shape: Shape | None) -> Shape | None:
    """Return the shape of an image in X of this ``shape``: that of X, else ``image_shape``, which must agree."""
    if len(shape) == 2:
        _check_flat(shape[1], image_shape)
        return image_shape
    if len(shape) not in (3, 4):
        raise ValueError(
            "X must have shape (n_samples, n_features), (n_samples, height, width), (n_samples, height, width, "
            f"channels) or (n_samples, channels, height, width); got shape {shape}."
        )
    if image_shape is not None and shape[1:] != image_shape:
        raise ValueError(
            f"X must have images of shape {image_shape}; got images of shape {shape[1:]}. Change X, or call fit again."
        )
    return shape[1:]


def _check_flat(n_features: int, image_shape: Shape | None) -> None:
    if image_shape is not None and prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape} needs X with {prod(image_shape)} features per row; got X with "
            f"{n_features} features. Change image_shape, or reshape X."
        )
