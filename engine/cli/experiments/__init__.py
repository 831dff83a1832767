"""The commands of experiments: ``paninifs nsm`` on models, and ``paninifs climb``.

Like the other commands they only parse options and print results; `climb_config` reads the file of
``paninifs climb``. May import what `cli` may.
"""
