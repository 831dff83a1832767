"""The commands of experiments on models: ``paninifs nsm``.

Like the other commands they only parse options and print results. May import what `cli` may.
"""
