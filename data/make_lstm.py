"""Teach the network that ships: ``python data/make_lstm.py`` writes ``lstm.safetensors`` beside this script.

1600 one-dimensional trajectories of 100 steps in two-phase media, one of each realization; less than a minute.
"""

from pathlib import Path

import mmfields as mm

learnt = mm.estimators.LSTMDiffusion().fit(mm.estimators.two_phase(1600, steps=100, seed=11), seed=0)
learnt.save(Path(__file__).parent / "lstm.safetensors")
