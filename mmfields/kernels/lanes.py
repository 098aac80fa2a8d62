"""How many particles a batch has."""

LANES = 64
