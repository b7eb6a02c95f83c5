"""Building blocks: frozen dataclasses that estimators accept by name or as an instance.

A custom block is a subclass of a base class such as :class:`sknn.activations.Activation` or
:class:`sknn.losses.RegressionLoss`, decorated with ``sknn.building_block``. Its fields are its
parameters, and ``_rules`` contains the allowed values of each field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from .rules import Rule, check_parameters, plain_value, require, shown

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

    A class with ``is_base=True`` has no instances, only subclasses. ``_fused`` maps each key of fused code, such as
    ``kernel``, to the attributes that this code replaces.
    """

    _rules: ClassVar[dict[str, Rule]] = {}
    _fused: ClassVar[dict[str, tuple[str, ...]]] = {}
    _is_base: ClassVar[bool] = True

    def __init_subclass__(cls, is_base: bool = False, **options: Any) -> None:
        # with the key of its parent, a block with a function of its own would run as its parent
        super().__init_subclass__(**options)
        cls._is_base = is_base
        for key, replaced in cls._fused.items():
            if any(is_newer(cls, attribute, key) for attribute in replaced):
                setattr(cls, key, f"{cls.__module__}.{cls.__qualname__}")

    def __post_init__(self) -> None:
        cls = type(self)
        if cls._is_base:
            raise TypeError(
                f"{cls.__name__} is a base class of building blocks and cannot be used itself. Use one of its "
                f"subclasses in {cls.__module__}, or write one with sknn.building_block."
            )
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

    ``_tables`` has the blocks that a parameter may name, by the parameter's name. Where a table holds classes, the
    fields in ``shared`` are parameters of the estimator itself, and not repeated.
    """

    _tables: ClassVar[Mapping[str, Mapping[str, Any]]]
    _own_parameters: ClassVar[tuple[str, ...]]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; if ``deep``, also fields of building blocks, such as ``norm__momentum``."""
        params: dict[str, Any] = {name: getattr(self, name) for name in self._parameter_names()}
        if not deep:
            return params
        if any(hasattr(value, "get_params") for value in params.values()):  # of a subclass with other parameters
            params = super().get_params(deep=True)  # type: ignore[misc]
        for name in self._tables:
            params |= {f"{name}__{item}": value for item, value in self._fields(name).items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ``norm__momentum=0.2`` replaces ``norm`` by a copy with this momentum."""
        own: dict[str, Any] = {}
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, _, item = key.partition("__")
            if item and not self._holds_estimator(name):
                nested.setdefault(name, {})[item] = value
            else:
                own[key] = value
        before = dict(vars(self))
        try:
            if own.keys() <= set(self._parameter_names()):
                for name, value in own.items():
                    setattr(self, name, value)
            else:
                super().set_params(**own)  # type: ignore[misc]
            for name, values in nested.items():
                self._set_fields(name, values)
        except BaseException:
            vars(self).update(before)
            raise
        return self

    def _parameter_names(self) -> tuple[str, ...]:
        """Return the names of the estimator's own parameters; the signature is read once for each class."""
        cls = type(self)
        if "_own_parameters" not in vars(cls):
            cls._own_parameters = tuple(super().get_params(deep=False))  # type: ignore[misc]
        return cls._own_parameters

    def _holds_estimator(self, name: str) -> bool:
        """Return whether nested parameters of this name are no fields: scikit-learn sets or refuses them."""
        is_own = name in self._parameter_names()
        return not is_own or (name not in self._tables and hasattr(getattr(self, name), "set_params"))

    def _named(self, name: str) -> Any:
        """Return the building block that a parameter holds or names, or its class; None for all else."""
        given = plain_value(getattr(self, name, None))
        if isinstance(given, str):
            return self._tables.get(name, {}).get(given)
        return given if isinstance(given, Block) else None

    def _fields(self, name: str) -> dict[str, Any]:
        """Return the fields of the building block that a parameter holds or names, by name."""
        block = self._named(name)
        is_class = isinstance(block, type)
        if is_class:
            return {item.name: item.default for item in fields(block) if item.name not in block.shared}
        return {} if block is None else {item.name: getattr(block, item.name) for item in fields(block)}

    def _set_fields(self, name: str, values: dict[str, Any]) -> None:
        """Replace a building block by a copy with these values, unless it has them already; a name then stays."""
        named = self._named(name)
        if named is None:
            raise ValueError(
                f"{name}__{next(iter(values))} needs {name} to be a single building block with fields; got "
                f"{name}={shown(getattr(self, name))}."
            )
        known = [field.name for field in fields(named)]
        for item in values:
            require(item in known, f"the field of {name} in {name}__{item}", f"one of {known} for {named}", item)
        block, is_class = named, isinstance(named, type)
        if is_class:
            if not values.keys() & set(named.shared) and named(**values) == named():
                return
            block = with_parameters_of(self, named, named.shared)
        changed = replace(block, **values)
        if changed != block:
            setattr(self, name, changed)
