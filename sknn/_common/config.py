"""The switch: which backend is asked for, and how that word travels.

Looked up in this order: the estimator's own ``backend`` parameter, the ``config_context`` of this thread, the context
that the estimator was cloned in (joblib's workers have contexts of their own, so an estimator carries the one of its
origin), ``set_config``, the environment variable ``SKNN_BACKEND``, else ``"auto"``: compute where X lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .._backend import BACKENDS

ENVIRONMENT_VARIABLE = "SKNN_BACKEND"


class Scope:
    """The setting of one ``config_context``, good for as long as the context lasts.

    A pickle of it is good for as long as it lives, except in the process that it came from, which has its own settings.
    """

    def __init__(self, backend, outer=None, *, active=True, origin=None):
        self.backend, self.outer, self.active = backend, outer, active
        self.origin = origin or _this_process()

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _arrived_scope, (self.backend, self.origin)


def _this_process():
    return os.getpid(), _TOKEN


def _arrived_scope(backend, origin):
    return None if origin == _this_process() else Scope(backend, origin=origin)


_TOKEN = os.urandom(8)  # the same number may name processes of two machines
_scope: ContextVar[Scope | None] = ContextVar("sknn_config", default=None)
_global_setting: dict[str, str] = {}


def check_backend_name(name, source="backend"):
    """Raise ValueError unless ``name`` is a backend."""
    if not (isinstance(name, str) and name in BACKENDS):
        allowed = ", ".join(repr(backend) for backend in BACKENDS)
        raise ValueError(f"{source} must be one of {allowed}; got {name!r}.")


def set_config(*, backend: str | None = None) -> None:
    """Set the backend of this process, for all its threads.

    Parameters
    ----------
    backend : {"auto", "numpy", "cupy"}, default=None
        Where estimators compute that have no ``backend`` of their own. None changes nothing.

    Raises
    ------
    ValueError
        If ``backend`` is none of these.

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
    """Choose the backend within a ``with`` block, for this thread and the joblib workers started from it.

    Parameters
    ----------
    backend : {"auto", "numpy", "cupy"}, default=None
        Where estimators compute that have no ``backend`` of their own. None changes nothing.

    Raises
    ------
    ValueError
        If ``backend`` is none of these.

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
    """Return the setting in force here, as a new dict.

    Returns
    -------
    config : dict
        ``{"backend": name}``.

    Examples
    --------
    >>> import sknn
    >>> sorted(sknn.get_config())
    ['backend']
    """
    return {"backend": configured_backend()}


def current_scope(carried=None):
    """Return the innermost context that holds here, or the carried one while it lasts, or None."""
    scope = _scope.get() or carried
    while scope is not None and not scope.active:
        scope = scope.outer
    return scope


def carried_setting(carried=None):
    """Return a scope for another process to work under, or None where it will find the same setting itself."""
    scope = current_scope(carried)
    if scope is None and "backend" in _global_setting:
        return Scope(_global_setting["backend"], active=False)  # of no use in this process
    return scope


def configured_backend(carried=None):
    """Return the name of the backend that is asked for, apart from an estimator's own parameter."""
    scope = current_scope(carried)
    if scope:
        return scope.backend
    return _global_setting.get("backend") or _backend_from_environment()


def _backend_from_environment():
    name = os.environ.get(ENVIRONMENT_VARIABLE, "auto")
    check_backend_name(name, f"the environment variable {ENVIRONMENT_VARIABLE}")
    return name
