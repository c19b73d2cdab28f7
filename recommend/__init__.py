"""Rows in, neighbours out: the most similar rows by cosine, exact, block by block.

From the rows to the lists: :mod:`recommend.vectors` scales, :mod:`recommend.topk` holds the hot
loops, :mod:`recommend.neighbours` plans which blocks meet and keeps the lists.
"""
