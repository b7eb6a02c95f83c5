"""scikit-learn's callbacks (1.9 and later): the tasks around a fit and its epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's, without any method."""

    def with_callbacks(method: Method) -> Method:
        """Return the method as it is."""
        return method


class FitTasks:
    """The callback task of a fit, and below it one an epoch; none where ``data`` is None.

    ``attributes()`` returns the fitted attributes so far. Tasks live in a function with the decorator `with_callbacks`,
    which closes them: scikit-learn keeps them as attributes of the estimator until then.
    """

    def __init__(
        self,
        estimator: Any,
        data: dict[str, Any] | None,
        max_epochs: int,
        attributes: Callable[[], dict[str, Any]],
    ) -> None:
        self._estimator, self._data, self._attributes = estimator, data or {}, attributes
        self._fit: Any = None
        self._epoch: Any = None
        if data is not None and hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    def begin(self) -> None:
        """Open the task of an epoch."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self) -> bool:
        """Close the task of an epoch; return whether a callback asks to stop."""
        return self._fit is not None and self._close(self._epoch)

    def finish(self) -> None:
        """Close the task of the fit."""
        if self._fit is not None:
            self._close(self._fit)

    def _close(self, task: Any) -> bool:
        return task.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=self._attributes, **self._data
        )


def callback_data(X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the data of a fit as callbacks get it."""
    return {"X": X, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
