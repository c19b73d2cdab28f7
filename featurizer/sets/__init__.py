"""The feature sets: one module each, with a constant ``FEATURE_SET``.

A folder ``featurizer/sets`` anywhere on the module search path may hold further ones;
:func:`featurizer.feature_set.feature_sets` finds them all.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
