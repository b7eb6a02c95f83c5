"""A wrapper that calls a backend of a device with NumPy arrays, and copies them and the results."""

import numpy as np

from sknn._backend.operations import Operation


class Ferried:
    """A backend of a device for tests on NumPy arrays: arrays are copied there, and the results are copied back."""

    def __init__(self, backend):
        self._backend = backend

    def execute(self, *plan):
        for operation in plan:
            pairs = []
            operands = [self._brought(value, pairs) for _, value in operation.operands()]
            self._backend.execute(type(operation)(*operands))
            self._bring_back(pairs)

    def __getattr__(self, name):
        def call(*args, **named):
            pairs = []
            given = [self._brought(value, pairs) for value in args]
            named = {key: self._brought(value, pairs) for key, value in named.items()}
            result = getattr(self._backend, name)(*given, **named)
            self._bring_back(pairs)
            return result

        return call

    def _bring_back(self, pairs):
        for host, device in pairs:
            if host.flags.writeable:
                host[...] = self._backend.to_host(device)

    def _brought(self, value, pairs):
        assert not isinstance(value, Operation)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._brought(part, pairs) for part in value))
        if not isinstance(value, np.ndarray):
            return value
        pairs.append((value, self._backend.asarray(value)))
        return pairs[-1][1]
