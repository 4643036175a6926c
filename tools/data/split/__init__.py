"""`gluon-mtcnn split`: annotated photos to a training and a development list."""
