"""The process that owns the store and serves it: `python -m data.store_server [--port N]`."""

import argparse
import sys

from data.errors import exit_status_of
from data.store import serve_store


def main() -> int:
    """Serve until told to stop; 1 when the store cannot be owned or the port not be had."""
    parser = argparse.ArgumentParser(prog="store_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; by default any free one")
    port = parser.parse_args().port
    return exit_status_of("store", lambda: serve_store(port))


if __name__ == "__main__":
    sys.exit(main())
