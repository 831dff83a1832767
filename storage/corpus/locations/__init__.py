"""Around the listing of files: what may be given, and what is said of files that are left out.

`arguments` checks what `open_corpus` is given, `exports` knows the files that `export` wrote into a
corpus's folder, `left_out` has the sentences. The listing itself is `corpus.listing`. Modules here
may import what those of `corpus` may, but none of them.
"""
