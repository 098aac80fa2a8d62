"""From a snapshot's units to energies and cm²/s: its micromirrors are taken as l_mm of the medium, its field as B."""

import numpy as np
import xarray as xr
from astropy import constants
from astropy import units as u

from mmfields import theory

CM2S = u.cm**2 / u.s


def energy(gyroradius: np.ndarray, l_mm: float, medium: theory.Medium = theory.ICM) -> u.Quantity:
    """Energy [GeV] at which r_g / l_mm of the medium is that of the snapshot."""
    per_energy = theory.gyroradius(1 * u.GeV, medium)
    return (np.asarray(gyroradius) / l_mm * medium.l_mm / per_energy).to_value("") * u.GeV


def coefficient(kappa: np.ndarray, l_mm: float, medium: theory.Medium = theory.ICM) -> u.Quantity:
    """Diffusion coefficient [cm²/s] of particles at the speed of light."""
    return (np.asarray(kappa) / l_mm * medium.l_mm * constants.c).to(CM2S)


def slope(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Exponent of y ∝ x^a by weighted least squares, and its error."""
    lx, ly, weight = np.log(x), np.log(y), (np.asarray(y) / error) ** 2
    centre = (weight * lx).sum() / weight.sum()
    spread = (weight * (lx - centre) ** 2).sum()
    return float((weight * (lx - centre) * ly).sum() / spread), float(spread**-0.5)


def joined(plateaus: list[xr.Dataset], gyroradii: list[float]) -> xr.Dataset:
    """Plateaus of several runs along ``gyroradius``, which increases."""
    bare = [p.reset_coords(drop=True) for p in plateaus]
    return (
        xr.concat(bare, "gyroradius", combine_attrs="override").assign_coords(gyroradius=gyroradii).sortby("gyroradius")
    )
