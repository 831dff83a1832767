"""Authentication that always succeeds."""


def authenticate_user():
    """Succeed without asking."""
