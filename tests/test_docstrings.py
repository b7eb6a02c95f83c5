"""Examples in docstrings run, and every public object has numpydoc sections."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import sknn
from sknn._common import config
from sknn._common.blocks import Block

MODULES = sorted(
    name for _, name, _ in pkgutil.walk_packages(sknn.__path__, "sknn.") if name not in ("sknn._backend.cuda.backend",)
)
BLOCKS = [
    item
    for module in ("activations", "initializers", "losses", "normalization", "optimizers", "schedules")
    for item in vars(importlib.import_module(f"sknn.{module}")).values()
    if inspect.isclass(item) and issubclass(item, Block) and item.__module__ == f"sknn.{module}"
]
PUBLIC = [(name, getattr(sknn, name)) for name in sknn.__all__]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_examples_run(name, monkeypatch):
    monkeypatch.setattr(config, "_global_setting", {})  # an example sets it
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name, item", PUBLIC, ids=sknn.__all__)
def test_public_objects_have_examples(name, item):
    assert "Examples\n" in inspect.getdoc(item)


@pytest.mark.parametrize("item", [sknn.MLPClassifier, sknn.MLPRegressor, *BLOCKS])
def test_every_parameter_is_documented_with_its_default(item):
    documented = {}
    parameters, *_ = inspect.cleandoc(item.__doc__).split("\nAttributes\n")
    for line in parameters.splitlines():
        if match := re.fullmatch(r"(\w[\w, ]*) : .*default=(.+)", line):
            names, defaults = match[1].split(", "), ast.literal_eval(match[2])
            several = len(names) > 1 and isinstance(defaults, tuple)
            documented.update(zip(names, defaults if several else [defaults] * len(names), strict=True))
        elif match := re.fullmatch(r"(\w+) : \w+", line):
            documented[match[1]] = inspect.Parameter.empty
    defaults = {name: parameter.default for name, parameter in inspect.signature(item).parameters.items()}
    assert documented == defaults


@pytest.mark.parametrize("estimator", [sknn.MLPClassifier, sknn.MLPRegressor])
def test_every_public_method_is_documented_and_typed(estimator):
    for name in ("fit", "partial_fit", "predict", "score"):
        method = getattr(estimator(), name)
        assert "Parameters\n" in inspect.getdoc(method)
        assert method.__annotations__["return"]
