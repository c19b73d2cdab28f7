"""Numbers in, pictures and HTML pages out.

It knows matplotlib, HTML and the numeric packages of this project, but no store and no ``jobs``.
"""
