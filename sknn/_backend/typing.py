"""Types of the arrays that backends work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
"""An array of a backend. CuPy's arrays have the same interface, so they are typed as NumPy's."""

ArrayModule: TypeAlias = Any
"""The module of array functions: numpy or cupy."""

Call: TypeAlias = Callable[[], object]
"""A kernel with its operands, ready to run."""

Arrays: TypeAlias = dict[str, np.ndarray]
"""The parameters, gradients or running statistics of a layer, by kind."""

Shapes: TypeAlias = dict[str, tuple[int, int]]
"""The shapes of the arrays of a layer, by kind."""
