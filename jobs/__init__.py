"""The command line and the batch jobs: everything that knows a cluster, a store, a terminal."""
