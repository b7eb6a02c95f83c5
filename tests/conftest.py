"""What must be set before scikit-learn is imported."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # without it scikit-learn refuses array_api_dispatch=True
