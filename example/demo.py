"""Find the faces of a photo with Seanlinx checkpoints: python example/demo.py PHOTO --prefix P R O."""

import sys

from gluon_mtcnn.tools.seanlinx import command as seanlinx_options

if __name__ == "__main__":
    sys.exit(seanlinx_options.guarded(seanlinx_options.demo))
