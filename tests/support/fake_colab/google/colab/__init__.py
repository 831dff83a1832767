"""As much of Colab's own package as the notebooks use, for a kernel of a test.

There is no ``google/__init__.py``: the package is shared with whatever else is called google.
"""

from . import auth, drive, output

__all__ = ["auth", "drive", "output"]
