"""Ready-made map-blocks that measure texts: language, script, counts and shares; and conditions.

Each kind of measure has a file of its own, whose docstring defines it. The loops over characters
are in `kernels.cpu.text_measures`; the language model is in `language_model`. A `condition` makes
the bool field that a block's ``when=`` names. Modules here may import `map_block` and what it may
import, and no model or device library before it is used.
"""
