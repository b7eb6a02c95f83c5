"""Classes derived from another."""


def all_subclasses(base):
    """Return every class of sknn that is derived from ``base``; tests may have others."""
    below = [cls for cls in base.__subclasses__() if cls.__module__.startswith("sknn.")]
    return {*below, *(deeper for cls in below for deeper in all_subclasses(cls))}
