"""Loops for Numba. They are imported to compile them only: see `machine_code`.

Nothing here allocates or raises, so that what is compiled needs nothing of Numba when it runs:
scratch memory comes as an argument.
"""
