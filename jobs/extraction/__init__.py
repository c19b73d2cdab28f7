"""Recordings to rows of features: plan, batches on the workers, commit; and import of tables.

Knows stages, inputs, the cluster and the store; not the other stages' packages.
"""
