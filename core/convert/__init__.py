"""Weights from and to other programs: Seanlinx/mtcnn, the official nets, Caffe, ONNX, MXNet symbols."""
