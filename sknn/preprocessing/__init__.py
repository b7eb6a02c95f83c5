"""Transformers of rows: what goes before a network."""

from .scaling import StandardScaler

__all__ = ["StandardScaler"]
