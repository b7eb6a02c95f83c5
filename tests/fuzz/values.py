"""Values for parameters: one pool for all, from which the rule of a parameter takes what it allows."""

import re
from dataclasses import MISSING, fields
from functools import cache

import numpy as np
import pandas as pd

import sknn
from sknn import preprocessing
from sknn._common.blocks import Block
from sknn._common.rules import REFUSED
from tests.support.classes import is_public

ESTIMATORS = [
    sknn.MLPClassifier,
    sknn.MLPRegressor,
    *(getattr(preprocessing, name) for name in preprocessing.__all__),
]
CLASSIFIER, REGRESSOR = ESTIMATORS[:2]

# Small ones, so that a fit takes milliseconds.
INTEGERS = [0, 1, 2, 3, 4, 5, 7]
NUMBERS = [0.0, 1e-12, 1e-6, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 1.0, 1.5, 4.0]
OTHERS = [
    None,
    True,
    False,
    np.inf,
    (3,),
    (4, 3),
    [4, 2],
    (0.0, 1.0),
    (-1.0, 2.0),
    (0.1, 0.9),
    (2, 3),
    (2, 3, 2),
    {0: 1.0, 1: 2.5},
    "neg_log_loss",
]
# Instead of the pool, for parameters of which most values are slow, silent on the CPU or a different fit each time.
USUAL = {
    "max_iter": [1, 2, 4],
    "learning_rate_init": [0.001, 0.01, 0.1],
    "random_state": [0, 1, 2],
    "verbose": [False],
    "backend": [None, "auto", "numpy"],
    "precision": ["float32"],
}


class Unprintable:
    """An object whose representation fails."""

    def __repr__(self):
        raise RuntimeError("no representation")


# One of them breaks each rule, in a way that has been seen to escape a check.
HOSTILE = [
    None,
    -1,
    -0.5,
    0,
    10**400,
    -(10**400),
    2**63,
    2.5,
    np.nan,
    np.inf,
    -np.inf,
    1e308,
    "nonsense",
    "n" * 100_000,
    b"relu",
    1j,
    (),
    [],
    [[1, 2], [3]],
    (-1,),
    (0, 3),
    ("relu", 3),
    {},
    {(0, 1): 1.0},
    {0: -1.0},
    {1, 2},
    object,
    Unprintable(),
    lambda: 0,
    np.array([[1, 2], [3, 4]]),
    np.array([0.1, np.nan]),
    np.ma.masked,
    np.ma.array(3, mask=True),
    np.datetime64("2024-01-01"),
    np.timedelta64(3, "s"),
    np.int8(-3),
    np.float16(np.nan),
    np.array("nonsense"),
    np.array(None, dtype=object),
    pd.NA,
    pd.NaT,
    pd.Series(["nonsense"]),
]


@cache
def blocks_allowed(rule):
    """Return the classes of building blocks that a rule allows."""
    return [cls for cls in _complete(Block) if rule.plain(_plainest(cls)) is not REFUSED]


def _complete(cls):
    """Return the public classes that have instances."""
    below = [child for child in cls.__subclasses__() if is_public(child)]
    own = [] if cls._is_base else [cls]
    return own + [leaf for child in below for leaf in _complete(child)]


def _plainest(cls):
    """Return an instance of a block with defaults, and 1 for fields that have none."""
    return cls(**{field.name: 1 for field in fields(cls) if field.default is MISSING})


def names_allowed(rule):
    """Return the strings that the words of a rule name."""
    return re.findall(r"'(\w+)'", rule.allowed)


def random_block(rng, cls):
    """Return a block with random fields."""
    values = {}
    for field in fields(cls):
        if field.default is MISSING or rng.random() < 0.5:
            values[field.name] = random_value(rng, field.name, cls._rules[field.name])
    try:
        return cls(**values)
    except ValueError:  # fields that do not go together
        return _plainest(cls)


def pool(rng, rule):
    """Return lists of values of one kind each that a rule allows."""
    kinds = [INTEGERS, NUMBERS, OTHERS, names_allowed(rule)]
    if "instance of" in rule.allowed:
        kinds.append([random_block(rng, cls) for cls in blocks_allowed(rule)])
    if "sequence of these" in rule.allowed:
        names = [name for name in names_allowed(rule) if rule.plain([name]) is not REFUSED]
        numbers = [number for number in NUMBERS if rule.plain([number]) is not REFUSED]
        kinds.append([[_one(rng, names or numbers) for _ in range(2)]])
    kinds = [[value for value in values if rule.plain(value) is not REFUSED] for values in kinds]
    return [values for values in kinds if values]


def random_value(rng, name, rule):
    """Return a value that a rule allows."""
    if name in USUAL:
        return _one(rng, USUAL[name])
    return _one(rng, _one(rng, pool(rng, rule)))


def hostile_value(rng, rule):
    """Return a value that a rule does not allow."""
    return _one(rng, [value for value in HOSTILE if rule.plain(value) is REFUSED])


def random_parameters(rng, cls):
    """Return random values of a few parameters of an estimator."""
    few = rng.choice([0.05, 0.2, 0.5])
    chosen = {name: random_value(rng, name, rule) for name, rule in cls._rules.items() if rng.random() < few}
    if cls in (CLASSIFIER, REGRESSOR):
        small = {"hidden_layer_sizes": (4, 3), "max_iter": 2, "random_state": 0}
        chosen = small | chosen
    elif "random_state" in cls._rules:
        chosen["random_state"] = 0
    return chosen


def _one(rng, values):
    return values[rng.integers(len(values))]
