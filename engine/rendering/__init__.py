"""How values are formatted for people: quantities, terminal text, HTML and colours.

Other folders decide what is shown; this one only formats. Imports nothing else of the engine.
"""
