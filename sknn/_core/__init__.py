"""The core: networks, passes, and their training, for a stack of models."""
