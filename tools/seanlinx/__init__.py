"""The command lines of Seanlinx/mtcnn's scripts, for example/."""
