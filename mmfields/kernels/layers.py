"""Flights along a line through periodic layers, from reversal to reversal."""

from math import floor, log

import numpy as np

from mmfields.kernels._jit import entry, kernel
from mmfields.kernels.scatter import threefry


@kernel()
def optical_depth(key, count):
    """Exponentially distributed depth to a reversal, of a particle and the number of reversals so far."""
    low, high = np.uint32(key & np.uint64(0xFFFFFFFF)), np.uint32(key >> np.uint64(32))
    a, b = threefry(low, high, np.uint32(count & 0xFFFFFFFF), np.uint32(count >> 32))
    return -log((np.float64(a) * 4294967296.0 + np.float64(b) + 0.5) * 2.0**-64)


@entry()
def fly(edges, rates, start, keys, path):
    """Positions and directions at saved path lengths.

    Parameters
    ----------
    edges : (layers + 1,) float array
        Of one period, from 0.
    rates : (layers,) float array
        Reversals per length.
    start : (n, 2) float array
        Uniform numbers: place in the period, and direction.
    keys : (n,) uint64 array
    path : (s,) float array

    Returns
    -------
    position, direction : (n, s) float arrays
    """
    n, saves, layers = start.shape[0], path.shape[0], rates.shape[0]
    period = edges[layers]
    position, direction = np.empty((n, saves)), np.empty((n, saves))
    for p in range(n):
        x, forward = start[p, 0] * period, start[p, 1] < 0.5
        layer = min(np.searchsorted(edges, x, side="right") - 1, layers - 1)
        base = floor(x / period) * period
        count = np.int64(0)
        depth = optical_depth(keys[p], count)
        gone = 0.0
        for s in range(saves):
            while True:
                wall = base + (edges[layer + 1] if forward else edges[layer])
                to_wall = abs(wall - x)
                to_turn = depth / rates[layer]
                to_save = path[s] - gone
                if to_save <= to_wall and to_save <= to_turn:
                    x += to_save if forward else -to_save
                    gone = path[s]
                    depth -= to_save * rates[layer]
                    break
                if to_turn <= to_wall:
                    x += to_turn if forward else -to_turn
                    gone += to_turn
                    forward = not forward
                    count += 1
                    depth = optical_depth(keys[p], count)
                    continue
                x = wall
                gone += to_wall
                depth -= to_wall * rates[layer]
                layer += 1 if forward else -1
                if layer == layers:
                    layer, base = 0, base + period
                elif layer < 0:
                    layer, base = layers - 1, base - period
            position[p, s] = x
            direction[p, s] = 1.0 if forward else -1.0
    return position, direction
