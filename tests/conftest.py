"""What must be set before scikit-learn is imported, and how hypothesis draws."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # without it scikit-learn refuses array_api_dispatch=True

# The same examples each time, however busy the machine is.
settings.register_profile("sknn", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sknn")
