"""The products built on clustercore: the command `clustercore`, the service platform and its console.

Everything here decides; nothing here runs per request. Requests are moved by the module `clustercore`, which
is used exactly as any outside program would use it.
"""

__version__ = "0.1.0"
