"""`python -m lossatlas_gallery`."""

import sys

from lossatlas_gallery.command import main

sys.exit(main())
