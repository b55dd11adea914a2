"""How the documentation site is built: `make docs`, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import vmi

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "vmi-sweeps"
author = copyright = "the vmi-sweeps founders"
release = vmi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference", "docstrings"]
exclude_patterns = ["extensions"]
html_theme = "furo"
html_title = "vmi-sweeps"
html_copy_source = html_show_sourcelink = False
html_static_path = ["extensions/site.css"]
html_css_files = ["site.css"]

myst_heading_anchors = 3  # what links to page.md#a-heading are checked against

smartquotes_action = "D"  # dashes; quotes stay as they are typed
default_role = "py:obj"  # docstrings have names in single backticks
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 120
