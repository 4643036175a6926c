"""Gather intermediate lists into train_12.txt, train_24.txt or train_48.txt; see --help."""

import sys

from gluon_mtcnn.tools.seanlinx import command as seanlinx_options

if __name__ == "__main__":
    sys.exit(seanlinx_options.guarded(seanlinx_options.gen_imglist))
