"""`gluon-mtcnn export`: a model folder to other programs' files."""
