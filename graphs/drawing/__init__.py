"""How blocks and graphs are shown: as a table, as text and as SVG.

`sketch` collects what is shown as plain data, `boxes` and `layout` place it, `channels` routes the
lines between boxes, and `as_text` and `as_svg` write the result. Computes nothing, and knows blocks
and stages only by their attributes. Imports only `storage`.
"""
