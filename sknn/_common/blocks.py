"""Building blocks: frozen dataclasses that estimators accept by name or as an instance.

A custom block is a subclass of a base class such as :class:`sknn.activations.Activation` or
:class:`sknn.losses.RegressionLoss`, decorated with ``sknn.building_block``. Its fields are its
parameters, and ``_rules`` contains the allowed values of each field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from .rules import Rule, check_parameters, require, shown

T = TypeVar("T")
B = TypeVar("B", bound="Block")


@dataclass_transform(frozen_default=True)
def building_block(cls: type[T]) -> type[T]:
    """Decorate a class as a building block: a frozen dataclass, whose fields are its parameters.

    Parameters
    ----------
    cls : type
        Subclass of a base class of building blocks, such as :class:`sknn.activations.Activation`,
        :class:`sknn.losses.RegressionLoss` or :class:`sknn.optimizers.Optimizer`.

    Returns
    -------
    cls : type
        The same class. Its instances show only the fields that differ from their defaults.

    Examples
    --------
    >>> from sknn import building_block
    >>> from sknn.activations import Activation
    >>> @building_block
    ... class Square(Activation):
    ...     scale: float = 1.0
    ...     in_place = False  # the derivative needs z
    ...
    ...     def forward(self, xp, z, y):
    ...         y[...] = self.scale * z * z
    ...
    ...     def backward(self, xp, dz, z, y):
    ...         dz *= 2 * self.scale * z
    >>> Square(), Square(0.5)
    (Square(), Square(scale=0.5))
    """
    return dataclass(frozen=True, repr=False, eq=False)(cls)


@building_block
class Block:
    """Base class of all building blocks; ``_rules`` maps each field to the rule that its value must satisfy.

    ``_fused`` maps each key of fused code, such as ``kernel``, to the attributes that this code replaces.
    """

    _rules: ClassVar[dict[str, Rule]] = {}
    _fused: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        # with the key of its parent, a block with a function of its own would run as its parent
        super().__init_subclass__(**options)
        for key, replaced in cls._fused.items():
            if any(is_newer(cls, attribute, key) for attribute in replaced):
                setattr(cls, key, f"{cls.__module__}.{cls.__qualname__}")

    def __post_init__(self) -> None:
        for name, value in check_parameters(self, self._rules).items():
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        changed = ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({changed})"


def is_newer(cls: type, attribute: str, other: str) -> bool:
    """Return whether a class takes an attribute from a class nearer to itself than the one it takes another from."""
    return _distance(cls, attribute) < _distance(cls, other)


def _distance(cls: type, attribute: str) -> int:
    """Return the position of the first class with this attribute in the order in which Python looks it up."""
    holders = (position for position, parent in enumerate(cls.__mro__) if attribute in vars(parent))
    return next(holders, len(cls.__mro__))


def resolve(value: str | T, table: Mapping[str, T]) -> T:
    """Return a building block that may be given by its name."""
    return table[value] if isinstance(value, str) else value


def resolve_layers(name: str, value: Any, table: Mapping[str, T], n_layers: int) -> tuple[T, ...]:
    """Return a building block for each of ``n_layers`` from one for all of them or a tuple."""
    if not isinstance(value, tuple):
        return (resolve(value, table),) * n_layers
    if len(value) != n_layers:
        raise ValueError(
            f"{name} must be one value for all or one value for each of the {n_layers} hidden layers; got "
            f"{len(value)}: {shown(value)}."
        )
    return tuple(resolve(item, table) for item in value)


def last_of(value: T | tuple[T, ...], default: T) -> T:
    """Return the last of a tuple of building blocks, ``default`` for an empty one, or the one block there is."""
    if not isinstance(value, tuple):
        return value
    return value[-1] if value else default


def with_parameters_of(estimator: Any, block: type[B], names: Iterable[str] | None = None) -> B:
    """Return a building block whose fields, or those of these names, are the estimator's parameters."""
    names = [field.name for field in fields(block)] if names is None else names
    return block(**{name: getattr(estimator, name) for name in names})


class NestedBlocksMixin:
    """Makes fields of building blocks parameters of their estimator: ``norm__momentum`` is that of its ``norm``.

    ``_tables`` has the blocks that a parameter may name, by the parameter's name.
    """

    _tables: ClassVar[Mapping[str, Mapping[str, Any]]]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; if ``deep``, also fields of building blocks, such as ``norm__momentum``."""
        params: dict[str, Any] = super().get_params(deep=deep)  # type: ignore[misc]
        if not deep:
            return params
        blocks = {name: value for name, value in params.items() if isinstance(value, Block)}
        for name, value in blocks.items():
            params |= {f"{name}__{item.name}": getattr(value, item.name) for item in fields(value)}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ``norm__momentum=0.2`` replaces ``norm`` by a copy with this momentum."""
        before = self.get_params(deep=False)
        own = {name: value for name, value in params.items() if "__" not in name}
        try:
            super().set_params(**own)  # type: ignore[misc]
            for name in [name for name in params if name not in own]:
                block, _, item = name.partition("__")
                self._set_field(block, item, params[name])
        except ValueError:
            vars(self).update(before)
            raise
        return self

    def _set_field(self, name: str, item: str, value: Any) -> None:
        given = getattr(self, name, None)
        block: Any = self._tables.get(name, {}).get(given) if isinstance(given, str) else given
        block = with_parameters_of(self, block, block.shared) if isinstance(block, type) else block  # type: ignore[attr-defined]
        if not isinstance(block, Block):
            raise ValueError(
                f"{name}__{item} needs {name} to be a single building block with fields; got {name}={given!r}."
            )
        known = [field.name for field in fields(block)]
        require(item in known, f"the field of {name} in {name}__{item}", f"one of {known} for {block}", item)
        setattr(self, name, replace(block, **{item: value}))
