"""Building blocks: frozen dataclasses that estimators take by name or as an instance."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, dataclass_transform

import numpy as np

from .rules import Rule, check_parameters, require


@dataclass_transform(frozen_default=True)
def building_block(cls):
    """Make a class a frozen dataclass that is shown as ``Block`` has it."""
    return dataclass(frozen=True, repr=False)(cls)


@building_block
class Block:
    """Base of all building blocks: ``_rules`` has what each field may be."""

    _rules: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self):
        check_parameters(self, self._rules)

    def __repr__(self):
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        changed = ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({changed})"


def resolve(value, table):
    """Return a building block that may be given by its name."""
    return table[value] if isinstance(value, str) else value


def resolve_layers(name, value, table, n_layers):
    """Return a building block for each of ``n_layers`` from one for all of them or a sequence."""
    if not isinstance(value, list | tuple | np.ndarray):
        return (resolve(value, table),) * n_layers
    if len(value) != n_layers:
        raise ValueError(
            f"{name} must be one for all or one for each of the {n_layers} hidden layers; got {len(value)}: {value!r}."
        )
    return tuple(resolve(item, table) for item in value)


def last_of(value, default):
    """Return the last of a sequence of building blocks, ``default`` for an empty one, or the one block there is."""
    if not isinstance(value, list | tuple):
        return value
    return value[-1] if value else default


def with_parameters_of(estimator, block, names=None):
    """Return a building block whose fields, or those of these names, are the estimator's parameters."""
    names = [field.name for field in fields(block)] if names is None else names
    return block(**{name: getattr(estimator, name) for name in names})


class NestedBlocksMixin:
    """Makes fields of building blocks parameters of their estimator: ``norm__momentum`` is that of its ``norm``.

    ``_tables`` has the blocks that a parameter may name, by the parameter's name.
    """

    def get_params(self, deep=True):
        """Return parameters by name; with ``deep``, fields of building blocks too, as ``norm__momentum``."""
        params = super().get_params(deep=deep)
        if not deep:
            return params
        blocks = {name: value for name, value in params.items() if isinstance(value, Block)}
        for name, value in blocks.items():
            params |= {f"{name}__{item.name}": getattr(value, item.name) for item in fields(value)}
        return params

    def set_params(self, **params):
        """Set parameters by name; ``norm__momentum=0.2`` replaces ``norm`` by one of that momentum."""
        before = self.get_params(deep=False)
        own = {name: value for name, value in params.items() if "__" not in name}
        try:
            super().set_params(**own)
            for name in [name for name in params if name not in own]:
                self._set_field(*name.split("__", 1), params[name])
        except ValueError:
            vars(self).update(before)
            raise
        return self

    def _set_field(self, name, item, value):
        given = getattr(self, name, None)
        block = self._tables.get(name, {}).get(given) if isinstance(given, str) else given
        block = with_parameters_of(self, block, block.shared) if isinstance(block, type) else block
        if not isinstance(block, Block):
            raise ValueError(f"{name}__{item} needs {name} to be one building block with fields; got {name}={given!r}.")
        known = [field.name for field in fields(block)]
        require(item in known, f"the field of {name} in {name}__{item}", f"one of {known} for {block}", item)
        setattr(self, name, replace(block, **{item: value}))
