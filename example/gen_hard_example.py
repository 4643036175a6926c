"""Mine 24- or 48-net data with the options of the original's gen_hard_example.py; see --help."""

import sys

from gluon_mtcnn.tools.seanlinx import command as seanlinx_options

if __name__ == "__main__":
    sys.exit(seanlinx_options.guarded(seanlinx_options.gen_hard_example))
