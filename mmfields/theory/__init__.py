"""The closed forms of Reichherzer et al. (2025), one function per equation, in astropy quantities.

Exact prefactors; `order_of_magnitude=True` gives the paper's rounded form where it prints one.  Where the paper's own
numbers do not follow from its formula, the docstring says which one is meant (notes N1 to N8).  Energies at which a
formula does not hold are warned of.
"""

from mmfields.theory.medium import ICM, LIGHT, Medium, gyrofrequency, gyroradius, thermal_gyroradius
from mmfields.theory.micromirrors import (
    deflection_angle,
    deflection_speed,
    firehose_amplitude,
    firehose_ratio,
    kappa_micromirror,
    kappa_of_rate,
    kappa_perpendicular,
    micromirror_scale,
    mirror_onset,
    pressure_anisotropy,
    scattering_rate,
)
from mmfields.theory.patches import (
    effective_rate,
    hashin_shtrikman,
    kappa_effective,
    kappa_of_both,
    patch_times,
    residence_path,
    residence_time,
)
from mmfields.theory.simulation import kappa_of_walk, running_kappa, scattering_angle, simulation_rules
from mmfields.theory.streaming import (
    escape_speed,
    kappa_streaming,
    micromirror_streaming_ratio,
    streaming_growth_rate,
    streaming_ratio,
)
from mmfields.theory.turbulence import (
    kappa_field_line,
    kappa_high_energy,
    kappa_of_power,
    kappa_resonant,
    mode_amplitudes,
    rate_high_energy,
    resonant_power,
    transition_energy,
)

__all__ = [
    "ICM",
    "LIGHT",
    "Medium",
    "deflection_angle",
    "deflection_speed",
    "effective_rate",
    "escape_speed",
    "firehose_amplitude",
    "firehose_ratio",
    "gyrofrequency",
    "gyroradius",
    "hashin_shtrikman",
    "kappa_effective",
    "kappa_field_line",
    "kappa_high_energy",
    "kappa_micromirror",
    "kappa_of_both",
    "kappa_of_power",
    "kappa_of_rate",
    "kappa_of_walk",
    "kappa_perpendicular",
    "kappa_resonant",
    "kappa_streaming",
    "micromirror_scale",
    "micromirror_streaming_ratio",
    "mirror_onset",
    "mode_amplitudes",
    "patch_times",
    "pressure_anisotropy",
    "rate_high_energy",
    "residence_path",
    "residence_time",
    "resonant_power",
    "running_kappa",
    "scattering_angle",
    "scattering_rate",
    "simulation_rules",
    "streaming_growth_rate",
    "streaming_ratio",
    "thermal_gyroradius",
    "transition_energy",
]


def __dir__() -> list[str]:
    return sorted(__all__)
