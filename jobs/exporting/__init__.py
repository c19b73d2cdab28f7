"""Atomic exports of tables to databases and files.

Knows stages, inputs and the store; not the other stages' packages.
"""
