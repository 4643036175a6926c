"""The one exception that means "your input is bad": the command line prints it as one line and exits with 2."""


class InputError(Exception):
    """Bad input: a file, an option or an annotation that cannot be used.

    The message is one line that names the file, the place in it, what was expected and what was found.
    """
