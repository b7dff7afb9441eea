"""`python -m clustercore_apps` is the command `clustercore`."""

import sys

from clustercore_apps.command.main import main

if __name__ == "__main__":
    sys.exit(main())
