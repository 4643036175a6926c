"""Load exported nets with the MXNet of another Python and say how far their outputs are from given ones.

Usage: python2 load_symbols.py FOLDER EPOCH; FOLDER holds pnet, rnet, onet and for each X_in.npy, X_0.npy, X_1.npy.
"""

import sys

import mxnet as mx  # noqa: TID251 - another MXNet than ours
import numpy as np


def main(folder, epoch):
    """Print for each net the largest difference of its outputs."""
    print(mx.__version__)
    for kind in ("pnet", "rnet", "onet"):
        prefix = folder + "/" + kind
        symbol, arrays, states = mx.model.load_checkpoint(prefix, epoch)
        images = np.load(prefix + "_in.npy")
        executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=images.shape)
        executor.copy_params_from(arrays, states)
        outputs = executor.forward(is_train=False, data=mx.nd.array(images))
        expected = [np.load("%s_%d.npy" % (prefix, i)) for i in (0, 1)]  # noqa: UP031 - Python 2
        print(max(float(np.abs(a.asnumpy() - b).max()) for a, b in zip(outputs, expected)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
