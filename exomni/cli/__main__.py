"""`python -m exomni.cli`."""

import sys

from exomni.cli import main

sys.exit(main())
