"""Damage a file in many ways, open and load what is left, and say what should not have happened.

    python tests/io/fuzzing.py TARGET FOLDER COUNT [FIRST [SECONDS]]

TARGET is the file to damage, in a copy; FOLDER the name of the directory above it that is copied too, ``.`` for none,
and after a slash the file in it that is opened, where it is another one.
A plotfile, an ADIOS2 output and a zarr store are opened as directories.  Each number from FIRST on is one way to damage
the file.  One JSON object per line of output, the last a summary.  A crash of the interpreter shows in the exit status,
the number that caused it in the last line on standard error.
"""

import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import mmfields as mm

LIMIT_KB = 200 * 1024
EXTREMES = (0, 1, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
RUNS = (1, 2, 4, 8, 512, 4096)  # bytes that are put in or lost
NUMBERS = (b"0", b"-1", b"2147483647", b"9223372036854775807", b"1e999", b"nan", b"99999999999999999999")


def damaged(raw: bytes, number: int) -> bytes:
    """The bytes, changed in one way that follows from the number."""
    draw = random.Random(number)
    out = bytearray(raw)
    # most of what a reader can trip over lies in front
    place = draw.randrange(min(len(out), 4096) if draw.random() < 0.7 else len(out))
    kind = draw.choice(("flip", "flip", "flips", "cut", "extreme", "digits", "swap", "insert", "delete", "zeros"))
    if kind == "flip":
        out[place] ^= 1 << draw.randrange(8)
    elif kind == "flips":
        for _ in range(draw.randrange(2, 20)):
            out[draw.randrange(max(0, place - 64), min(len(out), place + 64))] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del out[draw.choice((place, draw.randrange(len(out)))) :]
    elif kind == "extreme":
        width = draw.choice((1, 2, 4, 8))
        value = draw.choice(EXTREMES) & (256**width - 1)
        out[place : place + width] = value.to_bytes(width, draw.choice(("little", "big")))
    elif kind == "digits":
        digits = [i for i in range(place, min(place + 512, len(out))) if 48 <= out[i] < 58]
        end = begin = draw.choice(digits) if digits else place
        while end < len(out) and 48 <= out[end] < 58:
            end += 1
        out[begin:end] = draw.choice(NUMBERS)
    elif kind == "swap":
        width, other = draw.choice((1, 4, 16, 512)), draw.randrange(len(out))
        a, b = out[place : place + width], out[other : other + width]
        out[place : place + len(b)], out[other : other + len(a)] = b, a
    elif kind == "insert":
        out[place:place] = draw.choice((draw.randbytes(draw.randrange(1, 9)), out[place : place + draw.choice(RUNS)]))
    elif kind == "delete":
        del out[place : place + draw.choice(RUNS)]
    else:
        out[place : place + draw.choice((4, 16, 64))] = b"\0" * draw.choice((4, 16, 64))
    return bytes(out)


def opened(path: Path):
    """Everything in a file."""
    return mm.io.read_history(path) if path.suffix == ".hst" else mm.open_snapshot(path, chunks=None).load()


def copied(source: Path, folder_name: str, folder: Path) -> tuple[Path, Path]:
    """A copy of a file, in one of the directory of that name above it, and what is to be opened to read it."""
    if folder_name == ".":
        folder.mkdir(exist_ok=True)
        return (copy := Path(shutil.copyfile(source, folder / source.name))), copy
    folder_name, _, opened_name = folder_name.partition("/")
    root = next(parent for parent in source.parents if parent.name == folder_name)
    path = folder / folder_name
    shutil.copytree(root, path)
    copy = path / source.relative_to(root)
    copy.chmod(0o644)
    if opened_name:
        return copy, path / opened_name
    return copy, path if any((path / mark).exists() for mark in ("Header", "md.idx", "zarr.json")) else copy


class TooLong(BaseException):
    """No Exception, so that no reader takes it for a fault of the file."""


def stop(*_):
    raise TooLong


def main(target: str, folder_name: str, count: int, first: int = 0, seconds: int = 5) -> int:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, stop)
    outcomes: dict[str, int] = {}
    source = Path(target)
    with tempfile.TemporaryDirectory() as folder:
        copy, path = copied(source, folder_name, Path(folder))
        raw, whole = source.read_bytes(), opened(path)
        for number in range(first, first + count):
            print(json.dumps({"number": number}), file=sys.stderr, flush=True)
            copy.write_bytes(damaged(raw, number))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            signal.alarm(seconds)
            try:
                outcome = "the same" if opened(path).identical(whole) else "other data"
            except mm.SnapshotError as error:
                outcome = "refused" if folder in str(error) else f"names no file: {error}"
            except FileNotFoundError:
                outcome = "refused"
            except TooLong:
                outcome = f"more than {seconds} s"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            if (more := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) > LIMIT_KB:
                outcome = f"{more >> 10} MB"
            outcomes[outcome.split(":")[0]] = outcomes.get(outcome.split(":")[0], 0) + 1
            if outcome not in ("the same", "other data", "refused"):
                print(json.dumps({"number": number, "outcome": outcome[:300]}), flush=True)
    print(json.dumps(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3], *map(int, sys.argv[3:])))
