"""Jobs on the cluster, a folder for each concern, and the command line.

May use every package except the public API, `songmill`.
"""
