"""Train the R-Net with the options of the original's train_R_net.py; see --help."""

import sys

from gluon_mtcnn.tools.seanlinx import command as seanlinx_options

if __name__ == "__main__":
    sys.exit(seanlinx_options.guarded(lambda argv: seanlinx_options.train("rnet", argv)))
