"""The commands that clean corpora: ``paninifs dedup``.

They only parse options and print results; the public API does the work. Modules here may import
the other files of `cli`, and everything below it.
"""
