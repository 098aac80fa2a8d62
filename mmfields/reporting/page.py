"""The page of a report: sections of text, tables and figures, in one file that needs no other."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from markupsafe import Markup

DPI = 130


@dataclass
class Section:
    """A heading and what stands below it."""

    heading: str
    parts: list[Markup] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """What a link in the contents leads to."""
        return re.sub(r"\W+", "-", self.heading.lower()).strip("-")

    def text(self, body: str) -> None:
        """A paragraph."""
        self.parts.append(Markup("<p>{}</p>").format(body))

    def items(self, texts: Iterable[str]) -> None:
        """A list."""
        self.parts.append(
            Markup("<ul>{}</ul>").format(Markup("\n").join(Markup("<li>{}</li>").format(t) for t in texts))
        )

    def code(self, body: str) -> None:
        """Lines as they are typed."""
        self.parts.append(Markup("<pre><code>{}</code></pre>").format(body))

    def html(self, body: str) -> None:
        """What is HTML already, such as xarray's own view of a Dataset."""
        self.parts.append(Markup("<div class='wide'>{}</div>").format(Markup(body)))

    def values(self, rows: Mapping[str, Any]) -> None:
        """A table of names and values."""
        self.table(("quantity", "value"), rows.items())

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table with a head for each column."""
        head = Markup("").join(Markup("<th>{}</th>").format(h) for h in heads)
        lines = [Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row) for row in rows]
        body = Markup("\n").join(Markup("<tr>{}</tr>").format(line) for line in lines)
        table = "<table class='values'><thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>"
        self.html(Markup(table).format(head, body))


@dataclass
class Page:
    """Sections in their order, and the directory in which the figures are left too."""

    folder: Path
    title: str
    sections: list[Section] = field(default_factory=list)

    def section(self, heading: str, body: str = "") -> Section:
        """A new section at the end."""
        made = Section(heading)
        self.sections.append(made)
        if body:
            made.text(body)
        return made

    def figure(self, name: str, drawn: Any, caption: str) -> None:
        """A figure in the last section, and as a file of its own in the directory."""
        from matplotlib import pyplot as plt

        if (engine := drawn.get_layout_engine()) is not None:
            # Saving lays out twice, which takes most of its time.
            engine.execute(drawn)
            drawn.set_layout_engine("none")
        picture = BytesIO()
        drawn.savefig(picture, dpi=DPI, format="png")
        plt.close(drawn)
        (self.folder / f"{name}.png").write_bytes(picture.getvalue())
        inside = base64.b64encode(picture.getvalue()).decode()
        self.sections[-1].parts.append(
            Markup(
                '<figure id="{0}"><img src="data:image/png;base64,{1}" alt="{2}"><figcaption>{2} '
                '<a href="{0}.png">{0}.png</a></figcaption></figure>'
            ).format(name, inside, caption)
        )

    def write(self) -> Path:
        """Write ``index.html``."""
        from jinja2 import Environment

        template = files("mmfields.reporting").joinpath("page.html").read_text(encoding="utf-8")
        path = self.folder / "index.html"
        made = Environment(autoescape=True).from_string(template).render(page=self)
        path.write_text(made + "\n", encoding="utf-8")
        return path
