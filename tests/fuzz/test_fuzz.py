"""A few cases of the fuzzer, and faults that each oracle must find."""

import subprocess
import sys
from collections import Counter
from dataclasses import fields
from functools import wraps

import numpy as np
import pytest

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import reference
from sknn._common.blocks import Block
from sknn._common.rules import REFUSED
from sknn.optimizers import SGD
from sknn.preprocessing import StandardScaler
from tests.fuzz import runner
from tests.fuzz.cases import Case, make_case
from tests.fuzz.inputs import Data
from tests.fuzz.oracles import FIRST, OF_FITTED
from tests.fuzz.values import ESTIMATORS, blocks_allowed, hostile_value, random_parameters, random_value

QUICK, ALL = 12, 240


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed >= QUICK else []) for seed in range(ALL)]
)
def test_case(seed):
    case = make_case(seed)
    found = runner.findings_of(case)
    assert not found, f"{case!r}: {found}"


# ---- values -----------------------------------------------------------------------------


def owners():
    """Return estimators and the building blocks that they take."""
    blocks = [cls for owner in ESTIMATORS for rule in owner._rules.values() for cls in blocks_allowed(rule)]
    return dict.fromkeys([*ESTIMATORS, *blocks])


@pytest.mark.parametrize("owner", owners())
@pytest.mark.fast_share(4)
def test_each_parameter_has_values(owner):
    rng = np.random.default_rng(0)
    for name, rule in owner._rules.items():
        values = [random_value(rng, name, rule) for _ in range(40)]
        assert all(rule.plain(value) is not REFUSED for value in values), name
        assert len({repr(value) for value in values}) > 1 or name in ("verbose", "precision"), name
        assert rule.plain(hostile_value(rng, rule)) is REFUSED, name


@pytest.mark.parametrize("owner", [cls for cls in owners() if issubclass(cls, Block)])
def test_each_field_of_a_block_has_a_rule(owner):
    assert {field.name for field in fields(owner)} == set(owner._rules)


def test_a_new_parameter_is_tried():
    class Longer(StandardScaler):
        _rules = {**StandardScaler._rules, "more": SGD._rules["momentum"]}

    rng = np.random.default_rng(0)
    assert any("more" in random_parameters(rng, Longer) for _ in range(50))


def test_a_case_is_a_function_of_its_seed():
    for seed in range(40):
        one, other = make_case(seed), make_case(seed)
        assert repr(one) == repr(other)
        np.testing.assert_array_equal(one.data.X, other.data.X)
        np.testing.assert_array_equal(one.data.y, other.data.y)


# ---- faults -----------------------------------------------------------------------------


def made(cls, **parameters):
    """Return a case without chance."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    y = {MLPClassifier: (X[:, 0] > 0).astype(int), MLPRegressor: X @ [1.0, 2.0, 3.0]}.get(cls)
    common = {} if y is None else {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
    return Case(0, cls, {**common, **parameters}, Data(X, y), rng)


SCALER, CLASSIFIER, REGRESSOR = made(StandardScaler), made(MLPClassifier), made(MLPRegressor)


def raising(error):
    def fault(original, self, *args, **kwargs):
        raise error

    return fault


def leaving_a_trace(original, self, *args, **kwargs):
    self.trace_ = 1
    raise ValueError("X is wrong")


def refusing_nothing(original, self, *args, **kwargs):
    try:
        return original(self, *args, **kwargs)
    except Exception:
        return self


def forgetful(original, self, *args, **kwargs):
    try:
        return original(self, *args, **kwargs)
    except Exception:
        self.mean_ = None
        raise


def nan(original, self, X):
    return original(self, X) * np.nan


def doubled(original, self, X):
    return 2 * original(self, X)


def by_chance(original, self, *args, **kwargs):
    original(self, *args, **kwargs).mean_ += np.random.default_rng().random()
    return self


def without_mean(original, self):
    return {**original(self), "mean_": np.zeros(3)}


def by_batch(original, self, X):
    return original(self, X) - np.mean(X, axis=0)


def of_arrays_only(original, self, X, *args):
    return original(self, X if isinstance(X, np.ndarray) else np.asarray(X) + 1, *args)


def of_dense_rows_only(original, self, X, *args):
    return original(self, X if isinstance(X, np.ndarray) else X * 2, *args)


def fused_wrongly(original, self, X, *args):
    original(self, X, *args)
    if type(self._get_backend(X)) is not reference.Backend:
        self.scale_ = self.scale_ * 1.01
    return self


def ignoring_weights(original, self, X, y=None, sample_weight=None):
    return original(self, X, y)


def of_one_row(original, self, X):
    return original(self, X[:1])


def unchanged(original, self, X):
    return X


def refusing_numpy(original, self, *args):
    if isinstance(self.with_mean, np.generic | np.ndarray):
        raise ValueError("with_mean must be True")
    return original(self, *args)


def refusing_without_a_name(original, self, *args, **named):
    try:
        return original(self, *args, **named)
    except (TypeError, ValueError):
        raise ValueError("Input array has a wrong shape") from None


FAULTS = [
    ("fit_is_documented", SCALER, "fit", raising(KeyError("X"))),
    ("fit_is_documented", SCALER, "fit", raising(ValueError("bad things"))),
    ("fit_is_documented", SCALER, "fit", raising(ValueError("X" + " and so on" * 200))),
    ("fit_is_documented", SCALER, "fit", leaving_a_trace),
    ("finite", REGRESSOR, "predict", nan),
    ("probabilities", CLASSIFIER, "predict_proba", doubled),
    ("same_again", SCALER, "fit", by_chance),
    ("round_trips", SCALER, "__getstate__", without_mean),
    ("rows_are_independent", SCALER, "transform", by_batch),
    ("containers", SCALER, "fit", of_arrays_only),
    ("containers", SCALER, "transform", of_arrays_only),
    ("sparse", made(StandardScaler, with_mean=False), "fit", of_dense_rows_only),
    ("sparse", made(StandardScaler, with_mean=False), "transform", of_dense_rows_only),
    ("kernels", SCALER, "fit", fused_wrongly),
    ("weights", SCALER, "fit", ignoring_weights),
    ("weights", made(MLPRegressor, solver="sgd"), "fit", ignoring_weights),
    ("pieces", SCALER, "partial_fit", of_one_row),
    ("inverse", SCALER, "inverse_transform", unchanged),
    ("refused_parameter", SCALER, "fit", refusing_nothing),
    ("refused_parameter", SCALER, "fit", forgetful),
    ("refused_field", made(MLPRegressor, solver=SGD()), "__post_init__", refusing_nothing),
    ("refused_data", SCALER, "fit", refusing_nothing),
    ("refused_data", SCALER, "fit", forgetful),
    ("refused_data", SCALER, "fit", refusing_without_a_name),
    ("plain_parameters", made(StandardScaler, with_mean=True), "fit", refusing_numpy),
]


def found_by(name, case):
    [oracle] = [oracle for oracle in (FIRST, *OF_FITTED) if oracle.__name__ == name]
    return runner._finding_of(oracle, case, Counter())


@pytest.mark.parametrize(("name", "case", "method", "fault"), FAULTS)
def test_the_oracle_finds_a_fault(monkeypatch, name, case, method, fault):
    again = Case(case.seed, case.cls, case.parameters, case.data, np.random.default_rng(3))
    assert found_by(name, again) is None
    cls = Block if method == "__post_init__" else case.cls
    original = getattr(cls, method)

    @wraps(original)
    def planted(self, *args, **kwargs):
        return fault(original, self, *args, **kwargs)

    monkeypatch.setattr(cls, method, planted)
    again = Case(case.seed, case.cls, case.parameters, case.data, np.random.default_rng(3))
    assert found_by(name, again)


def test_each_oracle_has_a_fault():
    assert {name for name, *_ in FAULTS} == {oracle.__name__ for oracle in (FIRST, *OF_FITTED)}


def test_what_takes_long_is_found(monkeypatch):
    monkeypatch.setattr(runner, "DEADLINE", -1)
    assert found_by("finite", SCALER).startswith("took")


HANGS = """
import time
from tests.fuzz import cases, runner
runner.WATCHDOG = 1
cases.Case.fit = lambda self, *args: time.sleep(60)
runner.run([17])
"""


@pytest.mark.slow
def test_a_case_that_hangs_is_ended_and_named():
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert "case(17)" in ended.stderr
    assert "Timeout" in ended.stderr


def test_a_finding_is_made_small(monkeypatch):
    def fault(original, self, X, y=None):
        if not self.with_std:
            raise KeyError("X")
        return original(self, X, y)

    original = StandardScaler.fit
    case = made(StandardScaler, with_std=False, with_mean=True, copy=False)
    monkeypatch.setattr(StandardScaler, "fit", lambda self, *args: fault(original, self, *args))
    monkeypatch.setattr(runner, "make_case", lambda seed: case)
    assert runner.smaller(case, "fit_is_documented").parameters == {"with_std": False}


def test_what_is_known_is_counted_apart(monkeypatch):
    monkeypatch.setattr(runner, "KNOWN", [("finite", "predict is", "a reason")])
    monkeypatch.setattr(MLPRegressor, "predict", lambda self, X: np.full(len(X), np.nan))
    counts = Counter()
    assert "finite" not in runner.findings_of(REGRESSOR, counts)
    assert counts["known"] == 1
