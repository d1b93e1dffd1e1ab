"""The one exception that means: say this line to the person at the terminal and exit with code 2."""


class UserError(Exception):
    """What is wrong, with which value, and the remedy, in one line."""
