"""Rules of constructor parameters, and the check of an estimator or a building block by its rules.

A rule is a pair (test, text). Estimators and building blocks keep their rules in one table: ``check_parameters`` runs
in fit, and when a block is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeGuard

import numpy as np


class Rule(NamedTuple):
    """Allowed values of a parameter: a predicate, and the same in words."""

    holds: Callable[[Any], bool]
    allowed: str


def is_real(value: Any) -> TypeGuard[float]:
    """Return whether a value is a real number, of Python or NumPy."""
    return isinstance(value, Real)


def is_integer(value: Any) -> TypeGuard[int]:
    """Return whether a value is an integer of Python or NumPy; True and False are integers too."""
    return isinstance(value, Integral)


def real(low: float, high: float = np.inf, closed: str = "left") -> Rule:
    """A number in an interval, closed at "left", "right", "both" or "neither" end."""
    left, right = closed in ("left", "both"), closed in ("right", "both")

    def holds(value: Any) -> bool:
        if not is_real(value):
            return False
        above = value >= low if left else value > low
        return above and (value <= high if right else value < high)

    if high == np.inf:
        return Rule(holds, f"a number {'>=' if left else '>'} {low}")
    return Rule(holds, f"a number in {'[' if left else '('}{low}, {high}{']' if right else ')'}")


def finite() -> Rule:
    """A number that is neither infinite nor NaN."""
    return Rule(lambda value: is_real(value) and -np.inf < value < np.inf, "a finite number")


def integer(low: int) -> Rule:
    """An integer from ``low`` on."""

    def holds(value: Any) -> bool:
        return is_integer(value) and not isinstance(value, bool | np.bool_) and value >= low

    return Rule(holds, f"an integer >= {low}")


def boolean() -> Rule:
    """True or False."""
    return Rule(lambda value: isinstance(value, bool | np.bool_), "True or False")


def one_of(*values: str | None) -> Rule:
    """One of some strings, or None where that is among them."""
    return Rule(
        lambda value: (value is None or isinstance(value, str)) and value in values,
        "one of " + ", ".join(repr(value) for value in values),
    )


def infinity() -> Rule:
    """Infinity: no limit."""
    return Rule(lambda value: is_real(value) and value == np.inf, "infinity")


def instance(cls: type) -> Rule:
    """An instance of a class."""
    return Rule(lambda value: isinstance(value, cls), f"an instance of {cls.__name__}")


def scorer(*names: str) -> Rule:
    """One of some names, the name of a scikit-learn scorer, or a scorer itself."""

    def holds(value: Any) -> bool:
        return callable(value) or (isinstance(value, str) and (value in names or value in _scorer_names()))

    named = ", ".join(map(repr, names))
    return Rule(holds, f"{named}, one of sklearn.metrics.get_scorer_names() or a callable scorer(estimator, X, y)")


def _scorer_names() -> list[str]:
    from sklearn.metrics import get_scorer_names  # which takes as long to import as all of sknn

    return get_scorer_names()


def random_state() -> Rule:
    """A seed, a stream of random numbers, or None."""

    def holds(value: Any) -> bool:
        is_seed = is_integer(value) and 0 <= value < 2**32
        return value is None or value is np.random or is_seed or isinstance(value, np.random.RandomState)

    return Rule(holds, "an integer in [0, 2**32), a numpy.random.RandomState or None")


def layer_sizes() -> Rule:
    """Widths of layers: a positive integer or a sequence of them."""

    def holds(value: Any) -> bool:
        sizes = list(value) if isinstance(value, list | tuple | range | np.ndarray) and np.ndim(value) else [value]
        return all(is_integer(size) and not isinstance(size, bool) and size >= 1 for size in sizes)

    return Rule(holds, "a positive integer or a sequence of positive integers")


def float_type() -> Rule:
    """float32 or float64, by name or as NumPy's type, or None."""

    def holds(value: Any) -> bool:
        if value is None:
            return True
        try:
            return np.dtype(value) in (np.float32, np.float64)
        except TypeError:
            return False

    return Rule(holds, "one of None, 'float32', 'float64'")


def interval(low: float = -np.inf, high: float = np.inf) -> Rule:
    """A pair of finite numbers, from ``low`` to ``high``, of which the second is greater."""

    def holds(value: Any) -> bool:
        is_pair = isinstance(value, tuple | list | np.ndarray) and np.shape(value) == (2,)
        is_pair = is_pair and all(is_real(end) for end in value)
        return is_pair and low <= value[0] < value[1] <= high and np.isfinite(value[0]) and np.isfinite(value[1])

    within = "" if low == -np.inf else f" in [{low}, {high}]"
    return Rule(holds, f"a pair of finite numbers (low, high){within} with low < high")


def image_shape() -> Rule:
    """The shape of an image as it is stored."""

    def holds(value: Any) -> bool:
        is_shape = isinstance(value, tuple | list | np.ndarray) and np.shape(value) in ((2,), (3,))
        return is_shape and all(is_integer(n) and not isinstance(n, bool) and n >= 1 for n in value)

    return Rule(holds, "(height, width), (height, width, channels) or (channels, height, width)")


def class_weights() -> Rule:
    """A weight for each class."""

    def holds(value: Any) -> bool:
        return isinstance(value, dict) and all(is_real(w) and 0 <= w < np.inf for w in value.values())

    return Rule(holds, "a dict of non-negative weights by class")


def nothing() -> Rule:
    """None."""
    return Rule(lambda value: value is None, "None")


def either(*rules: Rule) -> Rule:
    """Whatever one of the rules allows."""
    return Rule(lambda value: any(rule.holds(value) for rule in rules), " or ".join(rule.allowed for rule in rules))


def block(table: Mapping[str, Any], base: type, such_as: str = "") -> Rule:
    """A building block: a name from a table, or an instance of its class; ``such_as`` is one that has no name."""
    rule = instance(base)
    return either(one_of(*table), rule._replace(allowed=f"{rule.allowed} such as {such_as}") if such_as else rule)


def per_layer(rule: Rule) -> Rule:
    """A value that the rule allows, for all layers, or a sequence of one for each."""

    def holds(value: Any) -> bool:
        return isinstance(value, list | tuple | np.ndarray) and all(rule.holds(item) for item in value)

    return either(rule, Rule(holds, "a sequence of these, one for each hidden layer"))


def require(holds: bool, name: str, allowed: str, value: Any) -> None:
    """Raise ValueError if a parameter or field has a value that is not allowed."""
    if not holds:
        raise ValueError(f"{name} must be {allowed}; got {value!r}.")


def check_parameters(owner: Any, rules: Mapping[str, Rule]) -> None:
    """Raise ValueError for the first parameter of an estimator, or field of a block, that breaks its rule."""
    for name, rule in rules.items():
        value = getattr(owner, name)
        require(rule.holds(value), name, rule.allowed, value)
