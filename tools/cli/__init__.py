"""The command `gluon-mtcnn`: its entry, the options that commands share, and running commands from commands."""
