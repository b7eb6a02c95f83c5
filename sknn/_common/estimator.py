"""Code that all estimators share: the choice of the backend, and the undoing of a call that raises an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .._backend import BACKENDS, get_backend
from .config import Scope, arrived_scope, carried_setting, configured_backend, current_scope
from .pickles import stamped, without_stamps
from .rules import Rule, check_parameters, one_of

if TYPE_CHECKING:
    from .._backend.protocol import Backend


CURVES = (
    *("loss_curve_", "validation_scores_", "validation_loss_curve_"),
    *("loss_curve", "validation_scores", "validation_losses"),
)


class BackendMixin:
    """Mixin that chooses the backend of an estimator, and carries the configuration into workers of joblib."""

    _backend_rules: ClassVar[dict[str, Rule]] = {"backend": one_of(None, *BACKENDS)}
    _carried_scope: Scope | None = None
    backend: str | None = None

    def _get_backend(self, X: Any) -> Backend:
        plain = check_parameters(self, self._backend_rules)  # a fitted estimator may have got other values since
        name = plain["backend"] or configured_backend(self._carried_scope)
        return get_backend(name, X, plain.get("precision", "float32"))

    def __sklearn_clone__(self) -> Self:
        clone: Self = super().__sklearn_clone__()  # type: ignore[misc]
        scope = current_scope(self._carried_scope)
        if scope is not None:
            # also kept here: later clones may be made in threads that have no context of their own
            self._carried_scope = clone._carried_scope = scope
        return clone

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_carried_scope", None)
        is_fitted = any(name.endswith("_") and not name.startswith("__") for name in state)
        setting = None if is_fitted else carried_setting(self._carried_scope)
        return stamped(state if setting is None else {**state, "_carried_scope": setting})

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = without_stamps(state, type(self).__name__)
        scope = arrived_scope(state.pop("_carried_scope", None))
        super().__setstate__(state if scope is None else {**state, "_carried_scope": scope})  # type: ignore[misc]


@contextmanager
def unchanged_on_error(
    estimator: Any, concerns: Callable[[BaseException], bool] = lambda error: True, draws: bool = True
) -> Iterator[None]:
    """Restore the attributes of the estimator if the block raises an error for which ``concerns`` is True.

    If the block ``draws`` random numbers before it may fail, streams are restored, too. To save the position of one
    takes 80 microseconds. Lists to which the block appends get their length back.
    """
    before = dict(vars(estimator))
    lengths = [(values, len(values)) for values in _growing_lists(estimator)]
    streams = [(stream, stream.get_state()) for stream in _random_streams(estimator)] if draws else []
    try:
        yield
    except BaseException as error:
        if concerns(error):
            despite_interrupts(lambda: _restore(estimator, before, lengths, streams))
        raise


def _restore(
    estimator: Any,
    before: dict[str, Any],
    lengths: list[tuple[list[Any], int]],
    streams: list[tuple[np.random.RandomState, Any]],
) -> None:
    attributes = vars(estimator)
    attributes.update(before)
    for name in attributes.keys() - before.keys():
        attributes.pop(name, None)
    for values, length in lengths:
        del values[length:]
    for stream, position in streams:
        stream.set_state(position)


def despite_interrupts(work: Callable[[], Any]) -> None:
    """Do work that Ctrl-C must not leave half done, again if it was interrupted; then raise KeyboardInterrupt.

    Ctrl-C for the third time ends work that takes long.
    """
    interrupt: KeyboardInterrupt | None = None
    for _ in range(3):
        try:
            work()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _growing_lists(estimator: Any) -> list[list[Any]]:
    """Return lists that training appends to: the curves of losses and scores, as attributes and in the state."""
    attributes = vars(estimator)
    if "_state" not in attributes:
        return []
    owners = attributes, vars(attributes["_state"])
    curves = [owner.get(name) for owner in owners for name in CURVES]
    return [curve for curve in curves if type(curve) is list]


def _random_streams(estimator: Any) -> list[np.random.RandomState]:
    trained = getattr(estimator, "_state", None)
    candidates = [getattr(estimator, "random_state", None), *getattr(trained, "streams", [])]
    return [stream for stream in candidates if isinstance(stream, np.random.RandomState)]
