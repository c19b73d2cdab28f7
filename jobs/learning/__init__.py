"""Models of a store: data set, splits, comparison, training, judging, promotion, predictions.

Knows stages, inputs, the cluster and the store; not the other stages' packages.
"""
