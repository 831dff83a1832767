"""The part of Colab's own package that the notebooks use, for the kernels of tests.

There is no ``google/__init__.py``, because other distributions have modules in ``google`` too.
"""

from . import auth, drive, output

__all__ = ["auth", "drive", "output"]
