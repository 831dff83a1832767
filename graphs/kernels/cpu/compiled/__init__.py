"""Loops for Numba. They are imported to compile them only: see `machine_code`.

What is compiled runs without Numba. So nothing here allocates (scratch memory comes as an
argument) or raises, and a loop that calls anything of Numba's is refused as it is compiled.
"""
