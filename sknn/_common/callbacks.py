"""scikit-learn's callbacks (1.9 and later) and ``verbose``: what happens around an epoch, outside the arithmetic."""

from __future__ import annotations

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9 has no callbacks

    class CallbackSupportMixin:
        """Stands in for scikit-learn's, without any method."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


class FitTasks:
    """The callback task of a fit, and below it one an epoch; none where ``data`` is None.

    ``attributes()`` returns what turns an unfitted estimator into one fitted so far.
    """

    def __init__(self, estimator, data, max_epochs, attributes):
        self._estimator, self._data, self._attributes = estimator, data, attributes
        self._fit = self._epoch = None
        if data is not None and hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    def begin(self):
        """Open the task of an epoch."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self):
        """Close the task of an epoch; return whether a callback asks to stop."""
        return self._fit is not None and self._close(self._epoch)

    def finish(self):
        """Close the task of the fit."""
        if self._fit is not None:
            self._close(self._fit)

    def _close(self, task):
        return task.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=self._attributes, **self._data
        )


def callback_data(X, y, sample_weight):
    """Return what callbacks are told of the data."""
    return {"X": X, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
