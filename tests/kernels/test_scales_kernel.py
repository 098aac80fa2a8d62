"""Power on lines."""

import numpy as np
import pytest

from mmfields.kernels import scales
from mmfields.kernels.modes import Modes


def test_power_on_lines_is_all_power():
    rng = np.random.default_rng(2)
    k = [2 * np.pi * np.fft.fftfreq(n) for n in (4, 5)] + [2 * np.pi * np.fft.rfftfreq(6)]
    spectrum = np.fft.rfftn(rng.normal(size=(4, 5, 6)))
    weight = np.array([1.0, 2, 2, 1])
    nyquist = [np.array([False, False, True, False]), np.zeros(5, bool), np.array([False, False, False, True])]
    along = np.array([1.0, -2, 2]) / 3
    out = np.zeros((200, scales.COLUMNS))
    scales.power_on_lines(spectrum, Modes(*k, *nyquist), weight, along, 0.05, out)
    power = abs(spectrum) ** 2 * weight
    power[0, 0, 0] = 0
    assert out[:-1, 0].sum() == pytest.approx(power.sum())
    assert out[:-1, 2].sum() == pytest.approx(power.sum())
    square = sum(np.meshgrid(*(c**2 for c in k), indexing="ij"))
    assert out[-1, 0] + out[-1, 1] == pytest.approx((power * square).sum())
