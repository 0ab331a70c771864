"""`python -m node.cli`: the command line without an installed script."""

import sys

from node.cli import main

sys.exit(main())
