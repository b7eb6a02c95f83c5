"""A stand-in for CUDA graphs on NumPy arrays: a training step is captured once and replayed unchanged.

Capturing freezes scalars and the places of buffers. While it is replayed nothing can be allocated or read by the host,
as the array module is out of reach; what a plan consists of besides launches is refused.
"""

from functools import partial

import numpy as np

from tests.support import cuda_simulator


class NotCapturable(Exception):
    """The error for a plan with a call that does not launch a kernel."""


class Graph:
    """The captured calls of a plan."""

    def __init__(self, backend, calls):
        self._backend, self._calls = backend, calls

    def run(self, times):
        """Replay the calls ``times`` times."""
        array_module, self._backend.xp = self._backend.xp, None
        try:
            for _ in range(times):
                for call in self._calls:
                    call()
        finally:
            self._backend.xp = array_module


class Backend(cuda_simulator.Backend):
    """The CUDA backend on NumPy arrays, whose plans are captured."""

    def compile(self, plan):
        return self.graph(call for operation in plan for call in self.calls(operation))

    def graph(self, calls):
        return Graph(self, [self._frozen(call) for call in calls])

    def _frozen(self, call):
        method = getattr(call, "func", call)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, cuda_simulator.RawModule):
            return owner.frozen(*call.args)
        is_product = getattr(method, "__name__", "") == "_multiply"
        is_ufunc = isinstance(method, np.ufunc) and "out" in call.keywords
        is_fill = isinstance(owner, np.ndarray) and method.__name__ == "fill"
        if is_product or is_ufunc or is_fill or method is np.copyto:
            return partial(method, *call.args, **call.keywords)
        raise NotCapturable(f"{type(owner).__name__} is no launch")
