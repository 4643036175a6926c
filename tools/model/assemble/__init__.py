"""`gluon-mtcnn assemble`: nets of several model folders to one."""
