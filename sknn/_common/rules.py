"""Rules of constructor parameters: which values are allowed, and their plain Python values.

Estimators and building blocks keep their rules in one table, ``_rules``. ``check_parameters`` reads all parameters by
it, in fit and when a block is made. Search libraries hand over NumPy scalars, arrays of no dimension, columns of frames
and the like: a rule returns the plain Python value of each, so that no other module has to know these types.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping, Set
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

REFUSED: Any = object()
"""The result of a rule for a value that is not allowed."""

PLAIN = (bool, int, float, str, type(None))
MOST_CHARACTERS = 80  # of a value in an error
MOST_LAYERS = 10_000


class Rule(NamedTuple):
    """Allowed values of a parameter: a function, and the same in words.

    ``plain(value)`` returns the plain Python value of an allowed value, and ``REFUSED`` for all others.
    """

    plain: Callable[[Any], Any]
    allowed: str


# ---- plain values -----------------------------------------------------------------------


def plain_value(value: Any) -> Any:
    """Return the plain Python value of a scalar of NumPy, or of an array of no dimension; all else as it is."""
    if type(value) in PLAIN:
        return value
    if _has_no_dimension(value):
        value = value.item()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral) and not isinstance(value, np.generic | bool):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, np.integer | bool):  # a long double has no Python type
        return _as_float(value)
    return value


def is_named(value: Any, *names: str) -> bool:
    """Return whether a parameter, checked or not, is one of some names."""
    value = plain_value(value)
    return isinstance(value, str) and value in names


def _has_no_dimension(value: Any) -> bool:
    """Return whether a value is an array or a NumPy scalar that holds one known number or string."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return False
    is_masked = isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)
    is_time = getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")  # whose items are integers
    return not (is_masked or is_time)


def _as_float(value: Any) -> Any:
    """Return a real number as a float; itself, if it is too large for one."""
    try:
        with np.errstate(over="ignore"):
            number = float(value)
    except OverflowError:
        return value
    return value if math.isinf(number) and number != value else number


def _number(value: Any) -> float:
    """Return the float of a real number, NaN for all other values and for integers that are too large."""
    if type(value) is not float:
        value = plain_value(value)
        value = _as_float(value) if isinstance(value, int | float) else np.nan
    return value if isinstance(value, float) else np.nan


def _integer(value: Any) -> int | None:
    """Return a plain integer of 64 bits, or None for all other values, True and False among them."""
    value = plain_value(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def items_of(value: Any, most: int) -> list[Any] | None:
    """Return the items of a list, tuple, range, one-dimensional array or column of a frame, or None for all else.

    None also for more than ``most`` items, which are not listed: a range may have more than fit into memory.
    """
    kind = type(value)
    if kind in (tuple, list):
        return list(value) if len(value) <= most else None
    if kind in PLAIN or isinstance(value, str | bytes | bytearray | Mapping | Set):
        return None
    is_sequence = hasattr(kind, "__len__") and hasattr(kind, "__iter__") and getattr(value, "ndim", 1) == 1
    return list(value) if is_sequence and _length(value) <= most else None


def _length(value: Any) -> float:
    """Return the length of a sequence; infinity for a range whose length Python cannot count."""
    try:
        return len(value)
    except OverflowError:
        return math.inf


# ---- rules ------------------------------------------------------------------------------


def real(low: float, high: float = np.inf, closed: str = "left") -> Rule:
    """A number in an interval, closed at "left", "right", "both" or "neither" end."""
    left, right = closed in ("left", "both"), closed in ("right", "both")

    def plain(value: Any) -> Any:
        number = _number(value)
        is_above = number >= low if left else number > low
        is_below = number <= high if right else number < high
        return number if is_above and is_below else REFUSED

    if high == np.inf:
        return Rule(plain, f"a number {'>=' if left else '>'} {low}")
    return Rule(plain, f"a number in {'[' if left else '('}{low}, {high}{']' if right else ')'}")


def finite() -> Rule:
    """A number that is neither infinite nor NaN."""
    return real(-np.inf, closed="neither")._replace(allowed="a finite number")


def infinity() -> Rule:
    """Infinity: no limit."""
    return real(np.inf, np.inf, closed="both")._replace(allowed="infinity")


def integer(low: int) -> Rule:
    """An integer from ``low`` on, of 64 bits."""

    def plain(value: Any) -> Any:
        number = _integer(value)
        return REFUSED if number is None or number < low else number

    return Rule(plain, f"an integer >= {low}")


def boolean() -> Rule:
    """True or False."""

    def plain(value: Any) -> Any:
        value = plain_value(value)
        return value if isinstance(value, bool) else REFUSED

    return Rule(plain, "True or False")


def one_of(*values: str | None) -> Rule:
    """One of some strings, or None where that is among them."""

    def plain(value: Any) -> Any:
        value = plain_value(value)
        return value if isinstance(value, str | None) and value in values else REFUSED

    return Rule(plain, "one of " + ", ".join(repr(value) for value in values))


def instance(cls: type) -> Rule:
    """An instance of a class."""
    return Rule(lambda value: _instance(value, cls), f"an instance of {cls.__name__}")


def _instance(value: Any, cls: type) -> Any:
    value = plain_value(value)
    return value if isinstance(value, cls) else REFUSED


def scorer(*names: str) -> Rule:
    """One of some names, the name of a scikit-learn scorer, or a scorer itself."""

    def plain(value: Any) -> Any:
        value = plain_value(value)
        is_name = isinstance(value, str) and (value in names or value in _scorer_names())
        return value if is_name or callable(value) else REFUSED

    named = ", ".join(map(repr, names))
    return Rule(plain, f"{named}, one of sklearn.metrics.get_scorer_names() or a callable scorer(estimator, X, y)")


def _scorer_names() -> list[str]:
    from sklearn.metrics import get_scorer_names  # which takes as long to import as all of sknn

    return get_scorer_names()


def random_state() -> Rule:
    """A seed, a stream of random numbers, or None."""

    def plain(value: Any) -> Any:
        value = plain_value(value)
        if value is None or value is np.random or isinstance(value, np.random.RandomState):
            return value
        return int(value) if isinstance(value, int) and 0 <= value < 2**32 else REFUSED

    return Rule(plain, "an integer in [0, 2**32), a numpy.random.RandomState or None")


def layer_sizes() -> Rule:
    """Widths of layers: a positive integer or a sequence of them."""
    width = integer(1)

    def plain(value: Any) -> Any:
        items = items_of(value, MOST_LAYERS)
        return _each(width, [value] if items is None else items)

    return Rule(plain, f"a positive integer or a sequence of up to {MOST_LAYERS} positive integers")


def _each(rule: Rule, items: list[Any]) -> Any:
    """Return the plain values of all items as a tuple, or REFUSED if one of them is not allowed."""
    plain = tuple(rule.plain(item) for item in items)
    return REFUSED if any(item is REFUSED for item in plain) else plain


def float_type() -> Rule:
    """float32 or float64, by name or as NumPy's type, or None; its name is the plain value."""

    def plain(value: Any) -> Any:
        value = plain_value(value)
        if value is None:
            return None
        if not isinstance(value, str | type | np.dtype):
            return REFUSED
        try:
            dtype = np.dtype(value)
        except (TypeError, ValueError, SyntaxError):
            return REFUSED
        return dtype.name if dtype in (np.float32, np.float64) else REFUSED

    return Rule(plain, "one of None, 'float32', 'float64'")


def interval(low: float = -np.inf, high: float = np.inf) -> Rule:
    """A pair of finite numbers, from ``low`` to ``high``, of which the second is greater."""
    end = finite()

    def plain(value: Any) -> Any:
        items = items_of(value, 2)
        ends = REFUSED if items is None or len(items) != 2 else _each(end, items)
        return ends if ends is not REFUSED and low <= ends[0] < ends[1] <= high else REFUSED

    within = "" if low == -np.inf else f" in [{low}, {high}]"
    return Rule(plain, f"a pair of finite numbers (low, high){within} with low < high")


def image_shape() -> Rule:
    """The shape of an image as it is stored."""
    length = integer(1)

    def plain(value: Any) -> Any:
        items = items_of(value, 3)
        return REFUSED if items is None or len(items) not in (2, 3) else _each(length, items)

    return Rule(plain, "(height, width), (height, width, channels) or (channels, height, width)")


def class_weights() -> Rule:
    """A weight for each class."""
    weight = real(0)

    def plain(value: Any) -> Any:
        value = plain_value(value)
        if not isinstance(value, dict):
            return REFUSED
        weights = {plain_value(label): weight.plain(item) for label, item in value.items()}
        are_labels = all(isinstance(label, str | int | float) for label in weights)
        return weights if are_labels and not any(item is REFUSED for item in weights.values()) else REFUSED

    return Rule(plain, "a dict of non-negative weights by class")


def nothing() -> Rule:
    """None."""

    def plain(value: Any) -> Any:
        return None if plain_value(value) is None else REFUSED

    return Rule(plain, "None")


def either(*rules: Rule) -> Rule:
    """Whatever one of the rules allows."""

    def plain(value: Any) -> Any:
        for rule in rules:
            found = rule.plain(value)
            if found is not REFUSED:
                return found
        return REFUSED

    return Rule(plain, " or ".join(rule.allowed for rule in rules))


def block(table: Mapping[str, Any], base: type, such_as: str = "") -> Rule:
    """A building block: a name from a table, or an instance of its class; ``such_as`` is one that has no name."""
    rule = instance(base)
    return either(one_of(*table), rule._replace(allowed=f"{rule.allowed} such as {such_as}") if such_as else rule)


def per_layer(rule: Rule) -> Rule:
    """A value that the rule allows, for all layers, or a sequence of one for each, whose plain value is a tuple."""

    def plain(value: Any) -> Any:
        items = items_of(value, MOST_LAYERS)
        return REFUSED if items is None else _each(rule, items)

    return either(rule, Rule(plain, "a sequence of these, one for each hidden layer"))


# ---- checks -----------------------------------------------------------------------------


class ShortRepr(reprlib.Repr):
    """Representations of bounded length, of any value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxarray = 10
        self.maxstring = self.maxother = MOST_CHARACTERS

    def repr_int(self, x: int, level: int) -> str:
        """Return an integer, which Python refuses to print beyond some thousand digits."""
        if -(2**63) <= x < 2**63:
            return repr(x)
        return f"an integer of {int(math.log10(abs(x))) + 1} digits, which does not fit into 64 bits"


SHORT = ShortRepr()


def shown(value: Any) -> str:
    """Return a value as errors show it: its representation, on one line and of bounded length."""
    try:
        text = re.sub(r"\s*\n\s*", " ", SHORT.repr(value))
    except Exception:  # whatever it is, the error is about the parameter
        text = object.__repr__(value)
    if len(text) <= MOST_CHARACTERS:
        return text
    half = (MOST_CHARACTERS - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def require(holds: bool, name: str, allowed: str, value: Any) -> None:
    """Raise ValueError if a parameter or field has a value that is not allowed."""
    if not holds:
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}.")


def check_parameters(owner: Any, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return the plain values of the parameters of an estimator, or of the fields of a block, by name.

    Raises
    ------
    ValueError
        For the first that breaks its rule.
    """
    plain = {}
    for name, rule in rules.items():
        value = getattr(owner, name)
        plain[name] = rule.plain(value)
        require(plain[name] is not REFUSED, name, rule.allowed, value)
    return plain
