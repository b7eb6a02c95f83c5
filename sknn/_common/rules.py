"""Checks of constructor parameters: name, what is allowed, what came.

A rule is a pair (test, text). Estimators and building blocks keep their rules in one table: ``check_parameters`` runs
in fit, and when a block is made.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """What a parameter may be: a predicate, and the same in words."""

    holds: object
    allowed: str


def real(low, high=np.inf, closed="left"):
    """A number in an interval, closed at "left", "right", "both" or "neither" end."""
    left, right = closed in ("left", "both"), closed in ("right", "both")

    def holds(value):
        if not isinstance(value, Real):
            return False
        above = value >= low if left else value > low
        return above and (value <= high if right else value < high)

    if high == np.inf:
        return Rule(holds, f"a number {'>=' if left else '>'} {low}")
    return Rule(holds, f"a number in {'[' if left else '('}{low}, {high}{']' if right else ')'}")


def finite():
    """A number that is neither infinite nor NaN."""
    return Rule(lambda value: isinstance(value, Real) and -np.inf < value < np.inf, "a finite number")


def integer(low):
    """An integer from ``low`` on."""

    def holds(value):
        return isinstance(value, Integral) and not isinstance(value, bool | np.bool_) and value >= low

    return Rule(holds, f"an integer >= {low}")


def boolean():
    """True or False."""
    return Rule(lambda value: isinstance(value, bool | np.bool_), "True or False")


def one_of(*values):
    """One of some strings, or None where that is among them."""
    return Rule(
        lambda value: (value is None or isinstance(value, str)) and value in values,
        "one of " + ", ".join(repr(value) for value in values),
    )


def infinity():
    """Infinity: no limit."""
    return Rule(lambda value: isinstance(value, Real) and value == np.inf, "infinity")


def instance(cls):
    """An instance of a class."""
    return Rule(lambda value: isinstance(value, cls), f"an instance of {cls.__name__}")


def scorer(*names):
    """One of some names, the name of a scikit-learn scorer, or a scorer itself."""

    def holds(value):
        return callable(value) or (isinstance(value, str) and (value in names or value in _scorer_names()))

    named = ", ".join(map(repr, names))
    return Rule(holds, f"{named}, one of sklearn.metrics.get_scorer_names() or a callable scorer(estimator, X, y)")


def _scorer_names():
    from sklearn.metrics import get_scorer_names  # which takes as long to import as all of sknn

    return get_scorer_names()


def random_state():
    """A seed, a stream of random numbers, or None."""

    def holds(value):
        is_seed = isinstance(value, Integral) and 0 <= value < 2**32
        return value is None or value is np.random or is_seed or isinstance(value, np.random.RandomState)

    return Rule(holds, "an integer in [0, 2**32), a numpy.random.RandomState or None")


def layer_sizes():
    """Widths of layers: a positive integer or a sequence of them."""

    def holds(value):
        sizes = list(value) if isinstance(value, list | tuple | range | np.ndarray) and np.ndim(value) else [value]
        return all(isinstance(size, Integral) and not isinstance(size, bool) and size >= 1 for size in sizes)

    return Rule(holds, "a positive integer or a sequence of positive integers")


def float_type():
    """float32 or float64, by name or as NumPy's type, or None."""

    def holds(value):
        if value is None:
            return True
        try:
            return np.dtype(value) in (np.float32, np.float64)
        except TypeError:
            return False

    return Rule(holds, "one of None, 'float32', 'float64'")


def interval(low=-np.inf, high=np.inf):
    """A pair of finite numbers, from ``low`` to ``high``, of which the second is greater."""

    def holds(value):
        is_pair = isinstance(value, tuple | list | np.ndarray) and np.shape(value) == (2,)
        is_pair = is_pair and all(isinstance(end, Real) for end in value)
        return is_pair and low <= value[0] < value[1] <= high and np.isfinite(value[0]) and np.isfinite(value[1])

    within = "" if low == -np.inf else f" in [{low}, {high}]"
    return Rule(holds, f"a pair of finite numbers (low, high){within} with low < high")


def image_shape():
    """The shape of an image as it is stored."""

    def holds(value):
        is_shape = isinstance(value, tuple | list | np.ndarray) and np.shape(value) in ((2,), (3,))
        return is_shape and all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in value)

    return Rule(holds, "(height, width), or that with the number of channels last or first")


def class_weights():
    """A weight for each class."""

    def holds(value):
        return isinstance(value, dict) and all(isinstance(w, Real) and 0 <= w < np.inf for w in value.values())

    return Rule(holds, "a dict of non-negative weights by class")


def nothing():
    """None."""
    return Rule(lambda value: value is None, "None")


def either(*rules):
    """Whatever one of the rules allows."""
    return Rule(lambda value: any(rule.holds(value) for rule in rules), " or ".join(rule.allowed for rule in rules))


def block(table, base, such_as=""):
    """A building block: a name from a table, or an instance of its class; ``such_as`` is one that has no name."""
    rule = instance(base)
    return either(one_of(*table), rule._replace(allowed=f"{rule.allowed} such as {such_as}") if such_as else rule)


def per_layer(rule):
    """What the rule allows, for all layers or in a sequence of one for each."""

    def holds(value):
        return isinstance(value, list | tuple | np.ndarray) and all(rule.holds(item) for item in value)

    return either(rule, Rule(holds, "a sequence of these, one for each hidden layer"))


def require(holds, name, allowed, value):
    """Raise ValueError if a parameter or field does not hold what is allowed."""
    if not holds:
        raise ValueError(f"{name} must be {allowed}; got {value!r}.")


def check_parameters(owner, rules):
    """Raise ValueError for the first parameter of an estimator, or field of a block, that breaks its rule."""
    for name, rule in rules.items():
        value = getattr(owner, name)
        require(rule.holds(value), name, rule.allowed, value)
