"""Models of a store: data set, splits, comparison, training, scores, promotion, predictions.

Knows stages, inputs, the cluster and the store; not the packages of other stages.
"""
