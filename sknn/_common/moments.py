"""Moments of columns, and how those of two sets of rows are merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._backend.typing import Array, ArrayModule

LEAST_SQUARES = 2.0**-900  # below it, terms of a sum of squares may have vanished
MOST_UNIT = 1000  # power of two of a unit, so that its inverse is a number, too


class Moments(NamedTuple):
    """Sum of weights, mean and weighted sum of squared deviations: float64 NumPy arrays, one entry a column.

    The mean is in double-double: ``mean + rest``, where ``rest`` is the rounding error of ``mean``. A column without
    any weight has mean 0 and squares 0. ``deviations`` has the standard deviations for columns whose squares are too
    large or too small for a float; it is None where there is no such column.
    """

    count: Array  # type: ignore[assignment]  # tuple's method of this name is not needed
    mean: Array
    rest: Array
    squares: Array
    deviations: Array | None = None

    def variance(self) -> Array:
        """Return the mean squared deviation; NaN where nothing was seen."""
        variance = self._plain_variance()
        if self.deviations is None:
            return variance
        with np.errstate(over="ignore", under="ignore"):
            return np.where(self.are_doubtful(), self.deviations**2, variance)

    def deviation(self) -> Array:
        """Return the standard deviation; NaN where nothing was seen."""
        with np.errstate(invalid="ignore"):
            deviation = np.sqrt(self._plain_variance())
        return deviation if self.deviations is None else np.where(self.are_doubtful(), self.deviations, deviation)

    def are_doubtful(self) -> Array:
        """Return for which columns the squares may have overflowed or vanished, if the column is not constant."""
        is_counted = (self.count > 0) & (self.count < np.inf)
        return is_counted & ~(are_in_range(self.squares) & are_in_range(self._plain_variance()))

    def with_doubtful(self, scaled: Moments, unit: Array) -> Moments:
        """Return these moments, and for columns where they are doubtful ``scaled`` moments, of values / ``unit``."""
        is_doubtful = self.are_doubtful()
        deviations = np.where(is_doubtful, scaled.deviation() * unit, self.deviation())
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            pairs = [
                (scaled.mean * unit, self.mean),
                (scaled.rest * unit, self.rest),
                (self.count * deviations**2, self.squares),
            ]
        chosen = (np.where(is_doubtful, *pair) for pair in pairs)
        return Moments(self.count, *chosen)._replace(deviations=deviations)

    def _plain_variance(self) -> Array:
        with np.errstate(all="ignore"):
            return self.squares / self.count


def are_in_range(squares: Array) -> Array:
    """Return which sums of squares are neither infinite nor so small that terms of them may have vanished."""
    return (squares >= LEAST_SQUARES) & (squares < np.inf)


def power_of_two(xp: ArrayModule, size: Array, most: int = MOST_UNIT) -> Array:
    """Return a power of two near each size, from ``2**-most`` to ``2**most``; 1 for zero, NaN and infinity."""
    exponent = xp.frexp(xp.where(xp.isfinite(size), size, 1.0))[1]
    return xp.ldexp(1.0, xp.clip(exponent, -most, most))


class WithMean(Protocol):
    """Statistics with a count and a mean in double-double."""

    @property
    def count(self) -> Any: ...
    @property
    def mean(self) -> Array: ...
    @property
    def rest(self) -> Array: ...


def moments_from_statistics(
    count: Array, mean: Array, variance: Array, rest: Array | float = 0.0, deviations: Array | None = None
) -> Moments:
    """Return the moments that have this mean and variance, whatever these say where ``count`` is 0."""
    seen = count > 0
    with np.errstate(over="ignore", invalid="ignore"):
        parts = (np.where(seen, part, 0.0) for part in (count, mean, rest, variance * count))
    moments = Moments(*parts)
    return moments if deviations is None else moments._replace(deviations=np.where(seen, deviations, 0.0))


def merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of two sets of rows together.

    Equations 2.1 of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", Stanford University, STAN-CS-79-773, 1979, for sums of weights and for means instead of sums.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        count, mean, rest, distance, share = merge_means(first, second)
        squares = first.squares + second.squares + first.count * share * distance**2
    merged = Moments(count, mean, rest, squares)
    is_doubtful = merged.are_doubtful()
    if not is_doubtful.any():
        return merged
    deviations = np.stack([first.deviation(), second.deviation()])
    if not (is_doubtful & ((distance != 0) | deviations.any(axis=0))).any():
        return merged  # the columns in doubt are constant
    pairs = zip(first[:4], second[:4], strict=True)
    both = Moments(*map(np.stack, pairs))._replace(deviations=deviations)
    return _with_doubtful_pooled(merged, both)


def merge_means(first: WithMean, second: WithMean) -> tuple[Array, Array, Array, Array, Array]:
    """Return count, mean and rest of two sets of rows, the distance of their means and the share of the second."""
    count = first.count + second.count
    share = second.count / np.where(count > 0, count, 1)
    distance = (second.mean - first.mean) + (second.rest - first.rest)
    mean, rest = two_sum(first.mean, first.rest + share * distance)
    rest = np.where(share == 1, second.rest, rest)
    return count, mean, rest, distance, share


def pool(moments: Moments, by_group: Callable[[Array], Array]) -> Moments:
    """Return the moments of groups of columns; ``by_group`` shapes one entry a column to ``(columns, groups)``."""
    parts = Moments(*map(by_group, moments[:4]))._replace(deviations=by_group(moments.deviation()))
    with np.errstate(over="ignore", invalid="ignore"):
        pooled = _pool(parts)
    return _with_doubtful_pooled(pooled, parts) if pooled.are_doubtful().any() else pooled


def _pool(parts: Moments) -> Moments:
    """Return the moments of all ``parts``, which lie along the first axis."""
    count, mean, rest, squares, _ = parts
    total = count.sum(axis=0)
    start = np.take_along_axis(mean, np.argmax(count > 0, axis=0)[None], axis=0)[0]
    deviation = np.where(count > 0, (mean - start) + rest, 0)
    step = (count * deviation).sum(axis=0) / np.where(total > 0, total, 1)
    squares = squares.sum(axis=0) + (count * (deviation - step) ** 2).sum(axis=0)
    return Moments(total, *two_sum(start, step), squares)


def _with_doubtful_pooled(pooled: Moments, parts: Moments) -> Moments:
    """Return ``pooled`` moments with columns whose squares are doubtful pooled again, in units of their size."""
    seen = parts.count > 0
    deviation = np.where(seen, parts.deviation(), 0.0)
    unit = power_of_two(np, np.maximum(np.abs(parts.mean), deviation).max(axis=0))
    share = parts.count / power_of_two(np, parts.count.max(axis=0))
    scaled = Moments(share, parts.mean / unit, parts.rest / unit, share * (deviation / unit) ** 2)
    return pooled.with_doubtful(_pool(scaled), unit)


def two_sum(mean: Array, step: Array) -> tuple[Array, Array]:
    """Return ``mean + step`` in double-double, the sum and its rounding error, for a step smaller than the mean."""
    total = mean + step
    return total, step - (total - mean)
