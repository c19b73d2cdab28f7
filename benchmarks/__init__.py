"""Benchmarks behind the README's figures. Each module is a command that prints its own table.

They may import every package of this project. Only tests import them.
"""
