"""How blocks and graphs are shown: as a table, as text and as SVG.

`sketch` collects what is shown as plain data; `boxes` and `layout` place it, `channels` routes what
flows between; `as_text` and `as_svg` write it. Computes nothing, and knows blocks and stages only
by their attributes. Imports only `storage`.
"""
