"""Rows as tables: data that lie in memory become a file of a corpus, and rows become frames.

`conversion` reads the columns of objects of other packages, `canonical` digests them, `memory_file`
makes the file, and `given` decides what `open_corpus` was given.
`framing` makes frames of rows, `frame_source` is a frame that is a corpus, and
`parts_together` computes its partitions when they are read.
`splitters` and `sentences` cut texts into pieces, and `split_source` is the corpus of these.

Modules here may import what those of `corpus` may, and of it `identity`, `index`, `listing`,
`locations`, `opening`, `partition` and `reading`, but not `corpus.corpus` or
`corpus.open_corpus`.
"""
