"""Warnings that name the user's line."""

from .._backend.warnings import warn as warn
