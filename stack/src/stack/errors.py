"""The one error a user sees."""


class StackError(Exception):
    """The stack cannot do what was asked; the message is one line that names the cause and the remedy."""
