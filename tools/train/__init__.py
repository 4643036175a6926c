"""`gluon-mtcnn train`: one net from packs."""
