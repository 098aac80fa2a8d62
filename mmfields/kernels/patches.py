"""Crossings of lattice lines through the surface of a mask, and the measures of its patches."""

from mmfields.kernels._jit import entry


@entry()
def count_crossings(mask, steps, out):
    """Add how often neighbours at each step differ.

    Parameters
    ----------
    mask : (n0 + 2, n1 + 2, n2 + 2) uint8 array
        1 inside, 0 outside, with one cell around the block; 2 beyond the end of the box.
    steps : (m, 3) int array
        To a neighbour, each of -1, 0, 1.
    out : (m,) int array
    """
    for s in range(len(steps)):
        a, b, c = steps[s, 0], steps[s, 1], steps[s, 2]
        total = 0
        for i in range(1, mask.shape[0] - 1):
            for j in range(1, mask.shape[1] - 1):
                here, there = mask[i, j], mask[i + a, j + b]
                for k in range(1, mask.shape[2] - 1):
                    total += (here[k] != there[k + c]) & (there[k + c] < 2)
        out[s] += total


@entry()
def measure(labels, mask, place, size, out):
    """Cells, first cell and chords along each axis of every patch of a block.

    Parameters
    ----------
    labels : (n0, n1, n2) int array
        0 outside, patches from 1 on.
    mask : (n0 + 2, n1 + 2, n2 + 2) uint8 array
        As :func:`count_crossings`.
    place, size : (3,) int arrays
        First cell of the block in the box, and the cells of the box.
    out : (patches, 5) int array
        Cells; first cell, in the order of the box, which begins with a number beyond all; chords along the axes,
        which may begin where the box does.
    """
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            for k in range(labels.shape[2]):
                if labels[i, j, k] > 0:
                    row = out[labels[i, j, k] - 1]
                    row[0] += 1
                    a, b, c = place[0] + i, place[1] + j, place[2] + k
                    row[1] = min(row[1], (a * size[1] + b) * size[2] + c)
                    row[2] += mask[i, j + 1, k + 1] != 1
                    row[3] += mask[i + 1, j, k + 1] != 1
                    row[4] += mask[i + 1, j + 1, k] != 1
