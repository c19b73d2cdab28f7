"""Models: splits, training parameters, evaluation and predictions.

It uses scikit-learn and XGBoost, but no Dask, no store and no command line.
"""
