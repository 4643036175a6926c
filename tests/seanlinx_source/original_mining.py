"""Run the original's gen_hard_example.py and log every crop: a program for Python 2 with MXNet of 2017, numpy, OpenCV.

Usage: python2 original_mining.py SOURCE FOLDER pnet|rnet OUT.json [options of gen_hard_example.py]

SOURCE is a checkout of Seanlinx/mtcnn. FOLDER holds what its hard-coded paths expect: ``data/wider/images``,
``data/wider/imglists/train.txt``, ``prepare_data/wider_annotations/anno.txt``, ``prepare_data/{rnet,onet}``. OUT.json
gets the thresholds of its parser and a row for every crop that it labels: photo, square, highest IoU with a face.
"""

import json
import os
import sys
import types


class Settings(dict):
    """What the original takes from the package easydict."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def main(source, folder, mode, out, options):
    """Mine with the original; crops are logged, not written."""
    source, out = os.path.abspath(source), os.path.abspath(out)
    sys.path[:0] = [source, os.path.join(source, "prepare_data")]
    sys.modules["easydict"] = types.ModuleType("easydict")
    sys.modules["easydict"].EasyDict = Settings
    os.chdir(folder)
    import cv2
    import gen_hard_example as original
    import mxnet as mx  # noqa: TID251 - another MXNet than ours

    crops, overlaps = [], original.IoU

    class Pictures:
        photo = ""

        def __getattr__(self, name):
            return getattr(cv2, name)

        def imread(self, path):
            Pictures.photo = path
            return cv2.imread(path)

        def imwrite(self, path, image):
            return True

    def logged(box, faces):
        overlap = overlaps(box, faces)
        crops.append([os.path.realpath(Pictures.photo), [int(v) for v in box[:4]], float(overlap.max())])
        return overlap

    original.cv2, original.IoU = Pictures(), logged
    sys.argv = ["gen_hard_example.py", "--test_mode", mode, "--gpu", "-1"]
    sys.argv.extend(options)
    args = original.parse_args()
    places = args.root_path, args.dataset_path, args.image_set, args.prefix, args.epoch, args.batch_size
    original.test_net(*places, ctx=mx.cpu(0), test_mode=mode, thresh=args.thresh, min_face_size=args.min_face)
    with open(out, "w") as file:
        json.dump({"thresholds": args.thresh, "crops": crops}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
