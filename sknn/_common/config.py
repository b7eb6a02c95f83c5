"""Configuration of the backend: NumPy, CuPy or automatic choice.

The backend of an estimator is the first of these settings that exists:

1. the ``backend`` parameter of the estimator;
2. the ``config_context`` of the current thread;
3. the ``config_context`` in which the estimator was cloned (an estimator carries this context to joblib's workers);
4. ``set_config``;
5. the environment variable ``SKNN_BACKEND``;
6. ``"auto"``: CuPy for CuPy arrays, NumPy for all other X.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from .._backend import BACKENDS
from .rules import shown

ENVIRONMENT_VARIABLE = "SKNN_BACKEND"
Origin: TypeAlias = tuple[int, bytes]


class Scope:
    """The setting of one ``config_context``, good for as long as the context lasts.

    In a pickle it is a plain tuple, so that a file names no private class; see ``arrived_scope``.
    """

    def __init__(
        self, backend: str, outer: Scope | None = None, *, active: bool = True, origin: Origin | None = None
    ) -> None:
        self.backend, self.outer, self.active = backend, outer, active
        self.origin = origin or _this_process()

    def __deepcopy__(self, memo: dict[int, Any]) -> Scope:
        return self

    def __reduce__(self) -> tuple[type[tuple], tuple[tuple[str, Origin]]]:
        return tuple, ((self.backend, self.origin),)


def _this_process() -> Origin:
    return os.getpid(), _TOKEN


def arrived_scope(carried: Scope | tuple[str, Origin] | None) -> Scope | None:
    """Return the scope of an estimator that was copied, or that comes out of a pickle.

    One from a pickle is good for as long as it lives, except in the process that it came from, which has its own
    settings.
    """
    if not isinstance(carried, tuple):
        return carried
    backend, origin = carried
    return None if origin == _this_process() else Scope(backend, origin=origin)


_TOKEN = os.urandom(8)  # the same number may name processes of two machines
_scope: ContextVar[Scope | None] = ContextVar("sknn_config", default=None)
_global_setting: dict[str, str] = {}


def check_backend_name(name: Any, source: str = "backend") -> None:
    """Raise ValueError unless ``name`` is a backend."""
    if not (isinstance(name, str) and name in BACKENDS):
        allowed = ", ".join(repr(backend) for backend in BACKENDS)
        raise ValueError(f"{source} must be one of {allowed}; got {shown(name)}.")


def set_config(*, backend: str | None = None) -> None:
    """Set the default backend of this process, for all its threads.

    Parameters
    ----------
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Backend of all estimators whose parameter ``backend`` is None. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None leaves the setting unchanged.

    Raises
    ------
    ValueError
        If ``backend`` is not one of these values.

    Examples
    --------
    >>> import sknn
    >>> sknn.set_config(backend="numpy")
    >>> sknn.get_config()
    {'backend': 'numpy'}
    >>> sknn.set_config(backend="auto")
    """
    if backend is not None:
        check_backend_name(backend)
        _global_setting["backend"] = backend


@contextmanager
def config_context(*, backend: str | None = None) -> Iterator[None]:
    """Set the default backend inside a ``with`` block, for this thread and the joblib workers that it starts.

    Parameters
    ----------
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Backend of all estimators whose parameter ``backend`` is None. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None leaves the setting unchanged.

    Raises
    ------
    ValueError
        If ``backend`` is not one of these values.

    Examples
    --------
    >>> import sknn
    >>> with sknn.config_context(backend="numpy"):
    ...     sknn.get_config()
    {'backend': 'numpy'}
    """
    if backend is None:
        yield
        return
    check_backend_name(backend)
    scope = Scope(backend, _scope.get())
    token = _scope.set(scope)
    try:
        yield
    finally:
        scope.active = False
        _scope.reset(token)


def get_config() -> dict[str, str]:
    """Return the current configuration.

    Returns
    -------
    config : dict
        A new dict ``{"backend": name}`` with name "auto", "numpy" or "cupy".

    Examples
    --------
    >>> import sknn
    >>> sorted(sknn.get_config())
    ['backend']
    """
    return {"backend": configured_backend()}


def current_scope(carried: Scope | None = None) -> Scope | None:
    """Return the innermost context that holds here, or the carried one while it lasts, or None."""
    scope = _scope.get() or carried
    while scope is not None and not scope.active:
        scope = scope.outer
    return scope


def carried_setting(carried: Scope | None = None) -> Scope | None:
    """Return a scope for another process to work under, or None where it will find the same setting itself."""
    scope = current_scope(carried)
    if scope is None and "backend" in _global_setting:
        return Scope(_global_setting["backend"], active=False)  # of no use in this process
    return scope


def configured_backend(carried: Scope | None = None) -> str:
    """Return the name of the backend that is asked for, apart from an estimator's own parameter."""
    scope = current_scope(carried)
    if scope:
        return scope.backend
    return _global_setting.get("backend") or _backend_from_environment()


def _backend_from_environment() -> str:
    name = os.environ.get(ENVIRONMENT_VARIABLE, "auto")
    check_backend_name(name, f"the environment variable {ENVIRONMENT_VARIABLE}")
    return name
