"""``python -m qmpd``."""

import sys

from qmpd.cli import main

sys.exit(main())
