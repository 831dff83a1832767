"""Asks nobody for permission."""


def authenticate_user():
    """Let everybody in."""
