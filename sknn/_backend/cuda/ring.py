"""Rows that do not fit a GPU's memory: buffers that are filled while others are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..typing import Array, ArrayModule


class Ring:
    """Buffers on the device, which are filled from pinned memory on a stream of its own."""

    def __init__(self, xp: ArrayModule, shape: tuple[int, ...], dtype: Any) -> None:
        from cupyx import empty_pinned

        cuda = xp.cuda
        self.table = xp.empty(shape, dtype)
        self._pinned = [empty_pinned(shape[1:], dtype) for _ in range(len(self.table))]
        self._current, self._stream = cuda.get_current_stream, cuda.Stream(non_blocking=True)
        self._copied, self._used = ([cuda.Event(disable_timing=True) for _ in self._pinned] for _ in range(2))
        for event in self._used:  # by the former owner of this memory
            event.record(self._current())

    def _fill(self, number: int, gather: Callable[[Array], None]) -> None:
        """Let ``gather(out)`` fill a buffer on the host, and begin to copy it as soon as it is no longer used."""
        self._copied[number].synchronize()  # before the buffer of the last copy is overwritten
        gather(self._pinned[number])
        self._stream.wait_event(self._used[number])
        self.table[number].set(self._pinned[number], stream=self._stream)
        self._copied[number].record(self._stream)

    @contextmanager
    def _using(self, number: int) -> Iterator[None]:
        """Context manager: launches within wait until a buffer is filled."""
        self._current().wait_event(self._copied[number])
        yield
        self._used[number].record(self._current())

    def stream(self, gathers: Sequence[Callable[[Array], None]]) -> Iterator[Array]:
        """Yield a buffer for each of ``gathers``, filled by it; the next one is on its way meanwhile."""
        n = len(self._pinned)
        try:
            self._fill(0, gathers[0])
            for i in range(len(gathers)):
                if i + 1 < len(gathers):
                    self._fill((i + 1) % n, gathers[i + 1])
                with self._using(i % n):
                    yield self.table[i % n]
        finally:
            self._stream.synchronize()  # or the memory would be written to when it serves others
