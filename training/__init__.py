"""Rows and labels in, a judged model out.

Knows scikit-learn and XGBoost. Knows no Dask, no store and no command line.
"""
