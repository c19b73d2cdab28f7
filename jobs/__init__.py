"""What runs on the cluster, a folder for each concern, and the command line.

May use every package of songmill but the public face, `songmill`.
"""
