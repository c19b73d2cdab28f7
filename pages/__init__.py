"""Pictures and HTML pages.

It uses matplotlib and the numeric packages of this project, but no store and no ``jobs``.
"""
