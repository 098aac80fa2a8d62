"""The README's code does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_ten_lines(capsys):
    names: dict = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    kappa = names["kappa"]
    assert kappa.sizes["gyroradius"] == 2
    assert (kappa.kappa_par > 10 * kappa.kappa_perp).all()
    assert np.isfinite(kappa.kappa_par_error).all()
    np.testing.assert_allclose(names["mirrors"].Bx + names["noise"].Bx, names["ds"].Bx, atol=2e-6)
    assert "cm2/s at [0.3 1. ] GeV" in capsys.readouterr().out
    assert kappa.kappa_par.attrs["units"] == "cm2 / s" and (kappa.kappa_par > 1e23).all()
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (README.parent / page).read_text())
    assert len(links) > 1
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_the_continuous_integration_runs_the_readme_test_command():
    script = (README.parent / ".ci" / "run").read_text()
    command = re.search(r"^(pytest\S*)\s+# the tests", blocks("sh")[0], re.MULTILINE)[1]
    assert re.search(rf"^{command}$", script, re.MULTILINE)
    assert '".[test]"' in blocks("sh")[0]
    assert '".[test]"' in script
