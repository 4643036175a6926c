"""The exceptions that the command line turns into one line and an exit code: 2 for bad input, 1 for our own failure."""


class InputError(Exception):
    """Bad input: a file, an option or an annotation that cannot be used.

    The message is one line that names the file, the place in it, what was expected and what was found.

    Examples
    --------
    >>> from gluon_mtcnn import load_model
    >>> try:
    ...     load_model("no_such_folder")
    ... except InputError as error:
    ...     print(error)
    no_such_folder: not a model folder: model.json not found
    """


class CommandFailedError(RuntimeError):
    """A command ended with our own failure (exit code 1) or by a signal; it has said why itself."""


class NonFiniteLossError(RuntimeError):
    """The loss, a validation figure or a weight is not a finite number; the message says where the run was."""
