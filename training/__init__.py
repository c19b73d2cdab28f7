"""Models: splits, training parameters, evaluation and predictions.

It uses SciPy, scikit-learn and XGBoost, but no Dask, no store and no command line.
"""
