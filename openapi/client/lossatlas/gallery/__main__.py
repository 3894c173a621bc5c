"""`python -m lossatlas.gallery`."""

import sys

from lossatlas.gallery.command import main

sys.exit(main())
