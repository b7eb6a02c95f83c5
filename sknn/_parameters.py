"""Checks of constructor parameters: name, what is allowed, what came.

A rule is a pair (test, text). Estimators and building blocks keep their rules in one table: ``check_parameters`` runs
in fit, and when a block is made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import ClassVar, NamedTuple, dataclass_transform

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


def resolve(value, table):
    """Return a building block that may be given by its name."""
    return table[value] if isinstance(value, str) else value


def resolve_layers(name, value, table, n_layers):
    """Return a building block for each of ``n_layers`` from one for all of them or a sequence."""
    if not isinstance(value, list | tuple | np.ndarray):
        return (resolve(value, table),) * n_layers
    if len(value) != n_layers:
        raise ValueError(
            f"{name} must be one for all or one for each of the {n_layers} hidden layers; got {len(value)}: {value!r}."
        )
    return tuple(resolve(item, table) for item in value)


def last_of(value, default):
    """Return the last of a sequence of building blocks, ``default`` for an empty one, or the one block there is."""
    if not isinstance(value, list | tuple):
        return value
    return value[-1] if value else default


def with_parameters_of(estimator, block, names=None):
    """Return a building block whose fields, or those of these names, are the estimator's parameters."""
    names = [field.name for field in fields(block)] if names is None else names
    return block(**{name: getattr(estimator, name) for name in names})


class NestedBlocksMixin:
    """Makes fields of building blocks parameters of their estimator: ``norm__momentum`` is that of its ``norm``.

    ``_tables`` has the blocks that a parameter may name, by the parameter's name.
    """

    def get_params(self, deep=True):
        """Return parameters by name; with ``deep``, fields of building blocks too, as ``norm__momentum``."""
        params = super().get_params(deep=deep)
        if not deep:
            return params
        blocks = {name: value for name, value in params.items() if isinstance(value, Block)}
        for name, value in blocks.items():
            params |= {f"{name}__{item.name}": getattr(value, item.name) for item in fields(value)}
        return params

    def set_params(self, **params):
        """Set parameters by name; ``norm__momentum=0.2`` replaces ``norm`` by one of that momentum."""
        before = self.get_params(deep=False)
        own = {name: value for name, value in params.items() if "__" not in name}
        try:
            super().set_params(**own)
            for name in [name for name in params if name not in own]:
                self._set_field(*name.split("__", 1), params[name])
        except ValueError:
            vars(self).update(before)
            raise
        return self

    def _set_field(self, name, item, value):
        given = getattr(self, name, None)
        block = self._tables.get(name, {}).get(given) if isinstance(given, str) else given
        block = with_parameters_of(self, block, block.shared) if isinstance(block, type) else block
        if not isinstance(block, Block):
            raise ValueError(f"{name}__{item} needs {name} to be one building block with fields; got {name}={given!r}.")
        known = [field.name for field in fields(block)]
        require(item in known, f"the field of {name} in {name}__{item}", f"one of {known} for {block}", item)
        setattr(self, name, replace(block, **{item: value}))


def require(holds, name, allowed, value):
    """Raise ValueError if a parameter or field does not hold what is allowed."""
    if not holds:
        raise ValueError(f"{name} must be {allowed}; got {value!r}.")


def check_parameters(owner, rules):
    """Raise ValueError for the first parameter of an estimator, or field of a block, that breaks its rule."""
    for name, rule in rules.items():
        value = getattr(owner, name)
        require(rule.holds(value), name, rule.allowed, value)


@dataclass_transform(frozen_default=True)
def building_block(cls):
    """Make a class a frozen dataclass that is shown as ``Block`` has it."""
    return dataclass(frozen=True, repr=False)(cls)


@building_block
class Block:
    """Base of all building blocks: ``_rules`` has what each field may be."""

    _rules: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self):
        check_parameters(self, self._rules)

    def __repr__(self):
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        changed = ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({changed})"
