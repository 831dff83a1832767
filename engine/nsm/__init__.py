"""The NSM–Greimas experiments: whether vectors of texts agree with a theory of meaning.

`material` has the primitives, squares and sentences, `corpus` makes texts of them, `vectors` the
blocks that give each text a vector. `reductions` runs the measures of the folder `measures` over
the store, `model_figures` and `verdicts` say what was found, and `nsm_page` shows it. `experiment`
is the public function. May import `report`, `run`, and what is below them; commands import it, and
`climbing` its material.
"""
