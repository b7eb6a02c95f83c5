"""scikit-learn's own tests with sknn's classes in place of its own."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from traceback import walk_tb
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest import mock

import pytest
import sklearn.decomposition
import sklearn.neural_network
import sklearn.preprocessing

import sknn
from sknn.preprocessing import PCA, MinMaxScaler, StandardScaler

REPLACED = {
    sklearn.neural_network: (sknn.MLPClassifier, sknn.MLPRegressor),
    sklearn.preprocessing: (MinMaxScaler, StandardScaler),
    sklearn.decomposition: (PCA,),
}
CLASSES = tuple(cls for classes in REPLACED.values() for cls in classes)


class PrivateAttributeRead(Exception):
    """A test reads a private attribute of scikit-learn's class."""


def borrowed_tests(name: str) -> dict[str, Any]:
    """Return the tests in a module of scikit-learn that use a replaced class, bound to sknn's classes."""
    module = _imported(name)
    tests = {key: _with_lists(test) for key, test in vars(module).items() if key.startswith("test")}
    return {
        key: _naming_private_reads(test, module)
        for key, test in tests.items()
        if any(cls in CLASSES for cls in _classes_used(test, module))
    }


def _imported(name: str) -> ModuleType:
    """Import a module of scikit-learn a second time, under another name, while sknn's classes stand in scikit-learn."""
    origin = importlib.util.find_spec(name).origin
    spec = importlib.util.spec_from_file_location(f"{name}_with_sknn", origin)
    module = importlib.util.module_from_spec(spec)
    with ExitStack() as replaced:
        for package, classes in REPLACED.items():
            for cls in classes:
                replaced.enter_context(mock.patch.object(package, cls.__name__, cls))
        spec.loader.exec_module(module)
    return module


def _classes_used(thing: Any, module: ModuleType, seen: set[int] | None = None) -> Iterator[type]:
    """Find the classes that a test reaches by its code, its parameters and the module's functions."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, type):
        yield thing
    elif isinstance(thing, FunctionType):
        parameters = [mark.args for mark in getattr(thing, "pytestmark", ())]
        for part in (thing.__code__, parameters):
            yield from _classes_used(part, module, seen)
    elif isinstance(thing, CodeType):
        named = [vars(module)[name] for name in thing.co_names if name in vars(module)]
        for part in (named, thing.co_consts):
            yield from _classes_used(part, module, seen)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _classes_used(part, module, seen)
    elif not isinstance(thing, ModuleType):
        yield type(thing)


def _with_lists(test: FunctionType) -> FunctionType:
    """Replace generators of parameters, which pytest 9.1 warns of and which can be read only once, by lists."""
    test.pytestmark = [
        pytest.mark.parametrize(mark.args[0], list(mark.args[1]), **mark.kwargs).mark
        if mark.name == "parametrize"
        else mark
        for mark in getattr(test, "pytestmark", ())
    ]
    return test


def _naming_private_reads(test: FunctionType, module: ModuleType) -> Callable[..., None]:
    """Wrap a test so that a missing private attribute, read in scikit-learn's file, has an error of its own."""

    @wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            test(*args, **kwargs)
        except AttributeError as error:
            private = isinstance(error.obj, CLASSES) and error.name.startswith("_")
            if private and _reader(error) == module.__file__:
                raise PrivateAttributeRead(error.name) from error
            raise

    return wrapped


def _reader(error: AttributeError) -> str:
    """Return the file that asked for the attribute."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name != "__getattr__"]
    return frames[-1].f_code.co_filename
