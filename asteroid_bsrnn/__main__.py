"""``python -m asteroid_bsrnn`` is the console command ``asteroid-bsrnn``."""
import sys

from .scripts.main import main

sys.exit(main())
