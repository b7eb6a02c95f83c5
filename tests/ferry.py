"""A backend on a device, called with NumPy arrays: they are brought there, and what became of them is brought back."""

import numpy as np

from sknn._core.epoch import Tables
from sknn._core.stages import Noise
from sknn.activations import BoundPReLU


class Ferried:
    """Kernels of a backend for tests that compare it with others on NumPy arrays."""

    def __init__(self, backend):
        self._backend = backend

    def __getattr__(self, name):
        def call(*args, **named):
            pairs = []
            given = [self._brought(value, pairs) for value in args]
            named = {key: self._brought(value, pairs) for key, value in named.items()}
            result = getattr(self._backend, name)(*given, **named)
            for host, device in pairs:
                if host.flags.writeable:
                    host[...] = self._backend.to_host(device)
            return result

        return call

    def _brought(self, value, pairs):
        if isinstance(value, Tables | Noise):
            return type(value)(*(self._brought(part, pairs) for part in value))
        if isinstance(value, dict):
            return {key: self._brought(part, pairs) for key, part in value.items()}
        if isinstance(value, BoundPReLU):
            return BoundPReLU(self._brought(value.slope, pairs), self._brought(value.d_slope, pairs))
        if not isinstance(value, np.ndarray):
            return value
        pairs.append((value, self._backend.asarray(value)))
        return pairs[-1][1]
