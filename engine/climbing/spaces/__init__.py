"""What candidates of a climb are: masks, weights, integers, permutations, floats, and products.

`space` defines what every space can do, and a module each holds one kind of space. They share how
dimensions are counted or named (`dimensions`), bounds (`bounds`), and the choice of coordinates and
of changes that are combined (`changes`). Imports NumPy and `storage`, and nothing else of the
engine; random numbers come from the generators that are passed in.
"""
