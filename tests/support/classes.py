"""Look-up of the classes that are derived from a class."""


def all_subclasses(base):
    """Return every class of sknn that is derived from ``base``, without the classes of tests."""
    below = [cls for cls in base.__subclasses__() if cls.__module__.startswith("sknn.")]
    return {*below, *(deeper for cls in below for deeper in all_subclasses(cls))}
