"""`python -m lossatlas.demo`."""

import sys

from lossatlas.demo.command import main

sys.exit(main())
