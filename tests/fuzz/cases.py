"""A case: an estimator with random parameters, random data, and a fit of it that must end in a documented way."""

import copy
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

from tests.fuzz.inputs import Data, random_data
from tests.fuzz.values import ESTIMATORS, random_parameters

DOCUMENTED = (ValueError, TypeError, NotFittedError)
LONGEST_ERROR = 1000
OUTPUTS = ("predict", "predict_proba", "predict_log_proba", "transform")
SPOKEN_OF = ("X", "y", "sample_weight", "X_val", "y_val", "rows?", "samples?", "classes", "class", "features?")
DIVERGED = "diverged|non-finite"
TOO_LARGE = "X would contain a value too large"
OVERFLOW = "Predictions of .* rows are not finite"  # a warning of networks whose weights are out of all proportion


class Finding(AssertionError):
    """What must not be, with the oracle that says so."""


@dataclass
class Case:
    """An estimator and its data."""

    seed: int
    cls: type
    parameters: dict[str, Any]
    data: Data
    rng: np.random.Generator = field(repr=False)

    def __repr__(self):
        y = "" if self.data.y is None else f", y of {self.data.y.dtype} {self.data.y.shape}"
        X = self.data.X
        return f"case({self.seed}): {self.cls.__name__}(**{self.parameters!r}) on X of {X.dtype} {X.shape}{y}"

    def estimator(self, **parameters):
        return self.cls(**{**self.parameters, **parameters})

    def fit(self, model=None, data=None, **arguments):
        """Fit a model, or a new one; warnings that are not ours are errors."""
        model, data = self.estimator() if model is None else model, self.data if data is None else data
        with our_warnings():
            return model.fit(data.X, data.y, **arguments)

    @cached_property
    def fitted(self):
        """The fitted estimator, or None if the fit, or results too large for ``dtype``, were refused as documented."""
        try:
            model = self.fit()
        except DOCUMENTED as error:
            self.refusal = error
            return None
        try:
            self.outputs(model)
        except Exception as error:  # others are found by the oracles
            if re.match(TOO_LARGE, str(error)):
                self.refusal = error
                return None
        return model

    def outputs(self, model=None, X=None):
        """Return what a model makes of X, by the method's name."""
        model, X = self.fitted if model is None else model, self.data.X if X is None else X
        methods = [name for name in OUTPUTS if hasattr(model, name)]
        with our_warnings():  # a copy, as copy=False overwrites X
            return {name: np.asarray(getattr(model, name)(copy.copy(X))) for name in methods}

    @property
    def is_network(self):
        return self.data.y is not None

    @property
    def epsilon(self):
        """The rounding of the least precise type that takes part."""
        given = [self.data.X.dtype, np.dtype(self.parameters.get("dtype") or "float64")]
        return max(np.finfo(dtype).eps for dtype in given if dtype.kind == "f")


def make_case(seed):
    """Return the case of a seed."""
    rng = np.random.default_rng(seed)
    cls = ESTIMATORS[rng.integers(2 if rng.random() < 0.5 else len(ESTIMATORS))]  # half of them or more are networks
    parameters = random_parameters(rng, cls)
    return Case(seed, cls, parameters, random_data(rng, cls, parameters), rng)


@contextmanager
def our_warnings():
    """Let pass the warnings that sknn documents; those of NumPy and others are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in (ConvergenceWarning, DataConversionWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", OVERFLOW, RuntimeWarning)
        yield


def require(holds, what):
    if not holds:
        raise Finding(what)


def require_documented(error, names):
    """Require an error of a documented type that names what it is about, in few words."""
    text = str(error)
    require(isinstance(error, DOCUMENTED), f"{type(error).__name__}: {text[:300]}")
    require(len(text) <= LONGEST_ERROR, f"an error of {len(text)} characters: {text[:300]}")
    named = any(re.search(rf"(?<!\w){name}(?!\w)", text) for name in names)
    require(named, f"the error names none of {', '.join(names[:5])}: {text[:300]}")
