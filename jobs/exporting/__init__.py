"""Tables into databases and files, complete or not at all.

Knows stages, inputs and the store; not the other stages' packages.
"""
