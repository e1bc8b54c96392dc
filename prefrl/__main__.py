"""`python -m prefrl` is the `prefrl` command."""

import sys

from prefrl.commands import main

sys.exit(main())
