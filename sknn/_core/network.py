"""A stack of networks: its layers, and the layout of their parameters.

Every array has a leading models axis: data ``(models, rows, units)``, weights ``(models, fan_in, units)``, parameters
``(models, P)``. A single estimator is a stack of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._backend.typing import Array, Arrays, Shapes
from ..activations import Activation, Identity
from ..initializers import Initializer
from ..losses import Loss
from ..normalization import Norm
from .layout import PARAMETERS, RUNNING, Layout


@dataclass(frozen=True)
class Layer:
    """One layer: a linear map of ``fan_in`` inputs, a norm or none, and an activation of its ``units`` outputs."""

    fan_in: int
    units: int
    activation: Activation
    initializer: Initializer
    norm: Norm | None = None

    @property
    def width(self) -> int:
        """Outputs of the linear map: more than one a unit for activations that choose from several."""
        return self.units * self.activation.pieces

    @property
    def norm_position(self) -> str | None:
        """Position of the norm: "pre", "post", "weights", or None without a norm."""
        return None if self.norm is None else self.norm.position

    @property
    def normed_width(self) -> int:
        """Values of a row that the norm is for."""
        return self.units if self.norm_position == "post" else self.width

    @property
    def max_norm_kind(self) -> str:
        """The kind of parameters whose lengths max_norm bounds."""
        return "weights" if self.norm is None else self.norm.max_norm_kind

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of the parameters."""
        linear = {"weights": (self.fan_in, self.width), "biases": (1, self.width)}
        normed = {} if self.norm is None else self.norm.parameter_shapes(self.normed_width)
        return linear | normed | self.activation.parameter_shapes(self.units)

    def statistic_shapes(self) -> Shapes:
        """Return the shapes of running statistics."""
        return {} if self.norm is None else self.norm.statistic_shapes(self.normed_width)

    def start(self, parameters: Arrays, random_state: np.random.RandomState) -> None:
        """Draw the parameters of one model, given as views ``(1, *shape)``."""
        with np.errstate(over="ignore"):  # infinite weights are a divergence, found after an epoch
            weights, biases = self.initializer.draw(random_state, self.fan_in, self.width, self.activation)
            parameters["weights"][0], parameters["biases"][0, 0] = weights, biases
            self.activation.start(parameters)
        if self.norm is not None:
            self.norm.start(parameters)

    @property
    def follows_data(self) -> bool:
        """Whether initial parameters depend on the layer's outputs for training rows."""
        return self.initializer.follows_data or (self.norm is not None and self.norm.follows_data)

    def adapt(self, parameters: Arrays, outputs: Array, weight: Array) -> None:
        """Adapt drawn parameters to outputs ``(rows, width)`` of the linear map, rows with their weights."""
        mean = np.average(outputs, axis=0, weights=weight)
        std = np.sqrt(np.average((outputs - mean) ** 2, axis=0, weights=weight))
        follower = self.norm if self.norm is not None and self.norm.follows_data else self.initializer
        follower.adapt(parameters, mean, std)


@dataclass(frozen=True)
class Network:
    """The architecture that all models of a stack have in common.

    ``widths`` run from input to output; ``activations`` has one item a hidden layer, and so has ``norms``, where None
    stands for no norm; ``initializers`` has one a layer. Of a network whose last layers were cut off, ``activations``
    and ``norms`` may have an item for the output layer, too.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    initializers: tuple[Initializer, ...]
    loss: Loss
    norms: tuple[Norm | None, ...] = ()

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; the output layer of a whole network has the identity, as its link belongs to the loss."""
        n_layers = len(self.widths) - 1
        activations, norms = (*self.activations, Identity())[:n_layers], (*self.norms, None)[:n_layers]
        norms = norms if self.norms else (None,) * n_layers
        parts = self.widths[:-1], self.widths[1:], activations, self.initializers, norms
        return tuple(Layer(*each) for each in zip(*parts, strict=True))

    @cached_property
    def shapes(self) -> list[Shapes]:
        """Shapes of the parameters and of the running statistics of each layer, by kind."""
        return [layer.parameter_shapes() | layer.statistic_shapes() for layer in self.layers]

    @cached_property
    def layout(self) -> Layout:
        """The layout of this network's parameters."""
        return Layout(PARAMETERS, [layer.parameter_shapes() for layer in self.layers])

    @cached_property
    def statistics_layout(self) -> Layout:
        """The layout of this network's running statistics."""
        return Layout(RUNNING, [layer.statistic_shapes() for layer in self.layers])

    @property
    def mixes_rows(self) -> bool:
        """Whether the outputs of a training batch depend on each other."""
        return any(norm.mixes_rows for norm in self.norms if norm is not None)

    @property
    def tracking_layers(self) -> tuple[int, ...]:
        """Numbers of the layers with running statistics."""
        return tuple(i for i, layer in enumerate(self.layers) if layer.statistic_shapes())

    @property
    def exact_layers(self) -> tuple[int, ...]:
        """Numbers of the layers whose predictions need statistics of all training rows."""
        return tuple(i for i in self.tracking_layers if self.norms[i].is_exact)  # type: ignore[union-attr]

    def initial_parameters(self, random_state: np.random.RandomState, dtype: np.dtype) -> Array:
        """Draw one row of theta, layer by layer, weights before biases, as scikit-learn does."""
        theta = np.empty((1, self.layout.size), dtype)
        for layer, parameters in zip(self.layers, self.layout.views(theta), strict=True):
            layer.start(parameters, random_state)
        return theta

    def initial_statistics(self, n_models: int, dtype: np.dtype) -> Array:
        """Return running statistics before the first batch: variances 1, all else 0."""
        statistics = np.zeros((n_models, self.statistics_layout.size), dtype)
        for variances in self.statistics_layout.of_kind("variances", statistics):
            variances[...] = 1
        return statistics
