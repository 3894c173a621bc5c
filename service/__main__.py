"""`python -m service`: the same as `lossatlas-server`, for processes that start each other."""

from __future__ import annotations

import sys

from service.command import main

if __name__ == "__main__":
    sys.exit(main())
