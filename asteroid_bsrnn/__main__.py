"""``python -m asteroid_bsrnn`` is the console command ``asteroid-bsrnn``."""

import sys

from .cli.main import main

sys.exit(main())
