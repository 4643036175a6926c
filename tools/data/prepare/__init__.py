"""`gluon-mtcnn prepare`: annotated photos to training packs."""
