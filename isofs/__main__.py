"""`python -m isofs` is the command `isofs`."""

import sys

from .cli import main

sys.exit(main())
