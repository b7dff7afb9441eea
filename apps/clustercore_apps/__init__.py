"""The products built on clustercore: the command `clustercore`, the service platform and its console, file
transfer.

Everything here decides; nothing here runs per request, and a file's bytes pass only in blocks of 256 KiB.
Requests and messages are moved by the module `clustercore`, which is used exactly as any outside program
would use it.
"""

__version__ = "0.1.0"
