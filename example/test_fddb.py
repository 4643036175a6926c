"""Detect on FDDB with the options of the original's test_fddb.py; see --help. Then: gluon-mtcnn evaluate fddb."""

import sys

from gluon_mtcnn.tools.seanlinx import command as seanlinx_options

if __name__ == "__main__":
    sys.exit(seanlinx_options.guarded(seanlinx_options.detect_fddb))
