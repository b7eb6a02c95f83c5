"""Look-up of the classes that are derived from a class."""


def all_subclasses(base):
    """Return every public class of sknn that is derived from ``base``, without the classes of tests."""
    below = [cls for cls in base.__subclasses__() if is_public(cls)]
    return {*below, *(deeper for cls in below for deeper in all_subclasses(cls))}


def is_public(cls):
    """Return whether a class is in a public module of sknn."""
    return cls.__module__.startswith("sknn.") and "._" not in cls.__module__
