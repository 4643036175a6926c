"""`gluon-mtcnn quickstart`: the whole chain on painted faces."""
