"""Settings of the documentation: ``python -m sphinx -W -b html docs OUT``."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import generate  # noqa: E402

import mmfields  # noqa: E402

project = "mmfields"
author = "The mmfields developers"
copyright = "The mmfields developers"
version = release = mmfields.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx-mathjax-offline",
]
# References to other projects need the network; they are made where MMFIELDS_DOCS_ONLINE is set.
if os.environ.get("MMFIELDS_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
        "dask": ("https://docs.dask.org/en/stable", None),
        "astropy": ("https://docs.astropy.org/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

exclude_patterns = ["_build", "api/generated/README*"]
templates_path = ["_templates"]
nitpicky = False

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # numpydoc's sections state them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are kept executed
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]

html_theme = "pydata_sphinx_theme"
html_title = "mmfields"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "collapse_navigation": True,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"install": [], "start": [], "changelog": [], "citation": []}


def escape_bars(app, what, name, thing, options, lines):
    """Let ``|B|`` in a docstring be a magnitude, and not one of reStructuredText's substitutions."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``|:math:`.*?`)", line)
        lines[i] = "".join(part if k % 2 else re.sub(r"(?<!\\)\|", r"\|", part) for k, part in enumerate(parts))


def add_uses(app, what, name, thing, options, lines):
    """End a reference page with the pages and notebooks whose code uses the name."""
    if pages := USES.get(name):
        lines += ["", ".. rubric:: Used in", "", *(f"* :doc:`{page}`" for page in pages), ""]


USES = generate.uses(HERE, HERE.parent / "notebooks")


def setup(app):
    """Write the pages that are made from the package and from the notebooks."""
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
    app.connect("autodoc-process-docstring", add_uses, priority=600)
    generate.api(HERE / "api")
    generate.gallery(HERE.parent / "notebooks", HERE / "gallery")
