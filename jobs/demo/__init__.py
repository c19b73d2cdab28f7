"""The synthetic collection of the demo: songs, styles, instruments.

Knows nothing else of songmill.
"""
