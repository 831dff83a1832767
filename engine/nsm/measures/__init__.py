"""The measures of the experiments: functions of NumPy arrays, which know no store and no page.

A file per experiment (`clustering`, `squares`, `isotopies`), and what they share: which vectors can
be used (`usable`), permutation tests and intervals (`significance`), pictures' coordinates (`maps`)
and French word forms (`word_forms`). Imports scikit-learn and SciPy inside functions only, and
nothing from the folder above.
"""
