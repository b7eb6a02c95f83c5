"""Code that estimators, transformers and blocks share: rules of parameters, validation, the switch, callbacks."""
