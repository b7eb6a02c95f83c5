"""Shared by estimators, transformers and building blocks: rules of parameters, validation, the switch, callbacks."""
