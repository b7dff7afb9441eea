"""Event channels on the command line: a server, suppliers, consumers, administrators."""

PORT = 7420
SERVER_DEFAULT = f"tcp://127.0.0.1:{PORT}"
