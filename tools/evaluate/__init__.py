"""`gluon-mtcnn evaluate ...` and `plot roc`: a room for each protocol, and what they share."""
