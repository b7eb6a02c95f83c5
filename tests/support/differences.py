"""Derivatives by finite differences."""

import numpy as np


def slope(function, x, direction, step=1e-3):
    """Return d function(x + t direction) / dt at 0 by differences of fourth order."""
    near = function(x + step * direction) - function(x - step * direction)
    far = function(x + 2 * step * direction) - function(x - 2 * step * direction)
    return (8 * near - far) / (12 * step)


def assert_gradient(objective, theta):
    """Assert that the gradient along a random direction is the slope of the objective, for every model of a stack."""
    direction = np.random.default_rng(9).standard_normal(theta.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    numeric = slope(lambda theta: objective(theta)[0], theta, direction, step=1e-4)
    _, gradient = objective(theta)
    np.testing.assert_allclose((gradient * direction).sum(axis=1), numeric, rtol=1e-7, atol=1e-9)
