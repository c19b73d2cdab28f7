"""Settings of the documentation's site: ``make docs``."""

from importlib import metadata

project = "songmill"
author = "The authors of songmill"
release = metadata.version("songmill")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
exclude_patterns = ["site"]

autodoc_typehints = "none"
napoleon_google_docstring = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "songmill"
