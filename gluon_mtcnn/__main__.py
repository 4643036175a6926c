"""``python -m gluon_mtcnn`` is the ``gluon-mtcnn`` command."""

import sys

from gluon_mtcnn.tools.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
