"""Layout of the flat buffers in which a stack keeps its parameters and running statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from .._backend.typing import Array, Arrays, Shapes

PARAMETERS = ("weights", "biases", "gains", "shifts", "slopes")  # kinds, as they follow each other in theta
RUNNING = ("means", "variances", "updates")  # kinds of running statistics

LayerViews: TypeAlias = list[Arrays]
"""One dict a layer: the views ``(models, *shape)`` of its arrays, by kind."""


class Layout:
    """Places of the arrays of each layer in a row of a flat buffer: all of one kind together, layer by layer.

    ``shapes`` has one dict ``{kind: 2-D shape}`` a layer. Those of kind "weights" are the ones that decay.
    """

    def __init__(self, kinds: Sequence[str], shapes: Sequence[Shapes]) -> None:
        self.size = self.n_decayed = 0
        self._spans: list[dict[str, tuple[int, int, tuple[int, int]]]] = [{} for _ in shapes]
        for kind in kinds:
            for spans, layer in zip(self._spans, shapes, strict=True):
                if kind in layer:
                    spans[kind] = self._place(layer[kind])
            if kind == "weights":
                self.n_decayed = self.size

    def _place(self, shape: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
        start, self.size = self.size, self.size + shape[0] * shape[1]
        return start, self.size, shape

    def views(self, flat: Array) -> LayerViews:
        """Return the views of each layer of ``flat (models, size)``."""
        return [
            {kind: flat[:, a:b].reshape(-1, *shape) for kind, (a, b, shape) in spans.items()} for spans in self._spans
        ]

    def of_kind(self, kind: str, flat: Array) -> list[Array]:
        """Return the views of one kind, of the layers that have it."""
        return [layer[kind] for layer in self.views(flat) if kind in layer]


def pack(*kinds: Iterable[Array | None]) -> Array:
    """Return one row of a flat buffer from a list of arrays of each kind; None stands for a layer without any."""
    return np.concatenate([np.ravel(part) for kind in kinds for part in kind if part is not None])[None]
