"""Pages of the documentation that are made when it is built: the API reference and the gallery.

Both are written beside the other pages, because Sphinx reads from one folder, and are not kept in git.
"""

import base64
import hashlib
import json
import re
import shutil
from importlib import import_module
from pathlib import Path

PACKAGE = "mmfields"


def names_of(module) -> list[str]:
    """Public names of a module: those that it lists, or without a list those that it defines itself."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted((name for name in own if not name.startswith("_")), key=str.lower)


def public() -> dict[str, list[str]]:
    """Names of each public module; under the package itself those that no public module has."""
    package = import_module(PACKAGE)
    found = {f"{PACKAGE}.{name}": names_of(import_module(f"{PACKAGE}.{name}")) for name in package._MODULES}
    owned = {id(getattr(import_module(module), name)) for module, names in found.items() for name in names}
    rest = [name for name in package._NAMES if id(getattr(package, name)) not in owned]
    return {PACKAGE: rest, **found}


def summary_of(module) -> str:
    """First sentence of a docstring, in one line."""
    return " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())


def page_of(module: str, names: list[str], top: dict[str, str]) -> str:
    """Reference page of a module: its docstring and a table of its names, each with a page of its own."""
    heading = module if module != PACKAGE else "mmfields: names of the package"
    lines = [heading, "=" * len(heading), ""]
    if module == PACKAGE:
        lines += [f"* ``mm.{short}`` is :obj:`{full}`." for short, full in top.items()]
    else:
        lines += [f".. automodule:: {module}"]
    lines += ["", f".. currentmodule:: {module}", "", ".. autosummary::", "   :toctree: generated", ""]
    return "\n".join([*lines, *(f"   {name}" for name in names)]) + "\n"


def api(folder: Path) -> None:
    """Write a page for the package, and one for each public module."""
    package, found = import_module(PACKAGE), public()
    top = {}
    for short in package._NAMES:
        value = getattr(package, short)
        homes = [
            m
            for m, names in found.items()
            if m != PACKAGE and any(getattr(import_module(m), n) is value for n in names)
        ]
        if homes:
            top[short] = f"{homes[0]}.{short}"
    lines = ["API reference", "=============", "", "Every public name, with what it takes and gives back.", ""]
    lines += [".. list-table::", "   :widths: 25 75", ""]
    for module in found:
        text = (
            summary_of(import_module(module)) if module != PACKAGE else "What ``import mmfields as mm`` offers itself."
        )
        lines += [f"   * - :doc:`{module} <{module}>`", f"     - {text}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in found)]
    put(folder / "index.rst", "\n".join(lines) + "\n")
    for module, names in found.items():
        put(folder / f"{module}.rst", page_of(module, names, top))


def shorts(package, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """How code calls each public name: ``mm.fourier.band``, or ``mm.trace`` and ``mm.tracing.trace``."""
    top = {id(getattr(package, name)): f"mm.{name}" for name in package._NAMES}
    out = {}
    for module, names in found.items():
        for name in names:
            long = f"{module}.{name}".replace(PACKAGE, "mm", 1)
            also = top.get(id(getattr(import_module(module), name)), long)
            out[f"{module}.{name}"] = sorted({long, also})
    return out


def code_of(path: Path) -> str:
    """Code of a page or of a notebook."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE))


def uses(docs: Path, notebooks: Path) -> dict[str, list[str]]:
    """Pages and notebooks whose code uses each public name."""
    made = ("api", "gallery", "_build")
    pages = [path for path in sorted(docs.rglob("*.md")) if path.relative_to(docs).parts[0] not in made]
    code = {f"/{path.relative_to(docs).with_suffix('')}": code_of(path) for path in pages}
    code |= {f"/gallery/{path.stem}": code_of(path) for path in sorted(notebooks.glob("*.ipynb"))}
    called = {page: set(re.findall(r"\bmm(?:\.\w+)+", text)) for page, text in code.items()}
    begins = {page: {call[:end] for call in calls for end in ends(call)} for page, calls in called.items()}
    names = shorts(import_module(PACKAGE), public())
    return {name: [page for page, seen in begins.items() if seen & set(short)] for name, short in names.items()}


def ends(call: str) -> list[int]:
    """Where each name of ``mm.spectra.power.values`` ends."""
    return [match.end() for match in re.finditer(r"\w+", call)]


def put(path: Path, content: str | bytes) -> None:
    """Write a file unless it holds the same already, so that Sphinx reads again only what has changed."""
    content = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def figures_of(notebook: dict) -> list[tuple[str, bytes]]:
    """Images among the outputs, each under the last heading before it."""
    found, heading = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            titles = [line for line in "".join(cell["source"]).splitlines() if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        for output in cell.get("outputs", []):
            image = output.get("data", {}).get("image/png")
            if image:
                found.append((heading, base64.b64decode("".join(image))))
    return found


def card(path: Path, heading: str, image: bytes, folder: Path) -> list[str]:
    """A figure as a card that leads to its notebook; the image is written beside."""
    name = f"{path.stem}-{hashlib.sha256(image).hexdigest()[:8]}.png"
    put(folder / "images" / name, image)
    options = [f":img-top: images/{name}", f":link: {path.stem}", ":link-type: doc"]
    return [f":::{{grid-item-card}} {heading}", *options, ":::"]


def gallery(notebooks: Path, folder: Path) -> None:
    """Copy the executed notebooks, and write a page of all their figures."""
    lines = ["# Gallery", "", "All figures of the notebooks. Each leads to the notebook that makes it.", ""]
    paths = sorted(notebooks.glob("*.ipynb"))
    for path in paths:
        notebook = json.loads(path.read_text())
        title = next(line[2:] for line in "".join(notebook["cells"][0]["source"]).splitlines() if line[:2] == "# ")
        cards = [line for found in figures_of(notebook) for line in card(path, found[0] or title, found[1], folder)]
        grid = ["::::{grid} 1 2 2 3", ":gutter: 2", "", *cards, "::::"] if cards else [f"[The notebook]({path.stem})"]
        lines += [f"## {title}", "", *grid, ""]
        put(folder / path.name, path.read_bytes())
    lines += ["```{toctree}", ":hidden:", "", *(path.stem for path in paths), "```", ""]
    put(folder / "index.md", "\n".join(lines))
    shutil.copytree(notebooks / "figures", folder / "figures", dirs_exist_ok=True)
