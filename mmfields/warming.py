"""Kernels compiled ahead of use, by the smallest runs that need them."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from mmfields import fields, particles, scattering, spectra, turbulence
from mmfields.io import from_arrays
from mmfields.tracing import field_lines, trace


def warm() -> Iterator[tuple[str, float]]:
    """Compile the kernels of the usual traces and analyses, unless they are cached.

    Yields
    ------
    str, float
        What has been compiled, and the seconds that it took.
    """
    for what, run in {**_traces(), **_analyses()}.items():
        began = time.perf_counter()
        run()
        yield what, time.perf_counter() - began


def _traces() -> dict[str, Callable[[], object]]:
    """Runs of a few steps, by what they need."""
    scattered = {"scattering": scattering.small_angle(nu=0.01)}
    driven = {"pusher": "boris", "light_speed": 100.0}
    guided = {"interpolation": "cubic", "pusher": "guiding-centre"}
    moving = {"evolve": True, "light_speed": 1.0}
    runs: dict[str, Callable[[], object]] = {}
    for kind in (np.float32, np.float64):
        field, name = _field(kind), np.dtype(kind).name
        runs[f"trace, {name}"] = lambda field=field: _run(field)
        runs[f"trace, {name}, cubic"] = lambda field=field: _run(field, interpolation="cubic")
        runs[f"trace, {name}, scattering"] = lambda field=field: _run(field, **scattered)
        runs[f"trace, {name}, local steps"] = lambda field=field: _run(field, step=0.1, step_unit="local")
        runs[f"trace, {name}, guiding centres"] = lambda field=field: _run(field, **guided)
        runs[f"trace, {name}, electric field"] = lambda field=field: _run(field, **driven)
        for acting in ({}, {"pusher": "boris"}):
            what = "in time, electric field" if acting else "in time"
            runs[f"trace, {name}, {what}"] = lambda field=field, acting=acting: _run(field, **moving, **acting)
        runs[f"field lines, {name}"] = lambda field=field: field_lines(field, 1, length=0.2, step=0.1, save=1).compute()
    waves = turbulence.plane_waves(64, k_min=0.5, k_max=2.0, seed=1)
    runs["trace, plane waves"] = lambda: _run(waves)
    own = fields.analytic(_uniform, strength=1.0, smallest=1.0, box=dict.fromkeys("xyz", (0.0, 1.0)))
    runs["trace, functions of one's own"] = lambda: _run(own)
    return runs


def _uniform(x: float, y: float, z: float) -> tuple[float, float, float]:
    """A uniform field."""
    return 0.0, 0.0, 1.0


def _run(field: Any, **options: Any) -> object:
    """A trace of one particle."""
    ensemble = particles.isotropic(
        1, gyroradius=1.0, seed=1, field=field, reference_field=1.0, beta_gamma=1.0 if "pusher" in options else np.inf
    )
    if "evolve" in options:
        field = xr.concat([field, field], "time").assign_coords(time=[0.0, 1.0])
    return trace(field, ensemble, **{"step": 0.1, "distance": 0.2, "save": 1, **options}).compute()


def _analyses() -> dict[str, Callable[[], object]]:
    """Analyses that have kernels of their own."""
    field = _field(np.float32)
    return {"spectra": lambda: spectra.power2d(field, direction="x").compute()}


def _field(kind: type) -> xr.Dataset:
    """A small snapshot with an electric field."""
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {f"{letter}{d}": rng.normal(size=(4, 4, 4)).astype(kind) for letter in "BE" for d in "xyz"}
    return from_arrays(**fields, spacing=dict.fromkeys("zyx", 1.0), dims=("z", "y", "x"))
