"""The exceptions that clustercore raises, one class for each registered code.

All derive from `ClusterError` and, where one is natural, from a builtin: `Timeout` is a `TimeoutError` too.
They are in the package itself as well, but for `Saturated`: there the event of that name is meant.
"""

from clustercore._errors import *  # noqa: F403
from clustercore._errors import __all__ as __all__
