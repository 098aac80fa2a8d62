"""Functions of position and time that kernels call: what they must be, and how they get there."""

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from mmfields.errors import ArgumentError
from mmfields.identity import UNKNOWN, identity

# What has been compiled in this process, by identity.
_compiled: dict[str, tuple[Any, Any]] = {}
_lock = Lock()


@dataclass(frozen=True)
class Function:
    """A function of x, y, z, or of these and the time, whose identity is known.

    Parameters
    ----------
    function : callable
        Not compiled.
    timed : bool
        Whether it takes the time.
    driven : bool
        Whether it gives an electric field too.
    key : str
        Its identity when it was looked at; what it reads may not change after that.
    """

    function: Callable[..., Any]
    timed: bool
    driven: bool
    key: str

    @property
    def name(self) -> str:
        """As in its definition."""
        return "a lambda" if self.function.__name__ == "<lambda>" else self.function.__name__

    def for_kernels(self) -> Any:
        """The address of its loop over a batch; compiled where this process has not done so.

        Raises
        ------
        ArgumentError
            If what it reads has changed, or it does not compile.
        """
        with _lock:
            if self.key not in _compiled:
                if identity(self.function) != self.key:
                    raise ArgumentError(
                        f"what {self.name} reads or calls has changed since mm.fields.analytic took it: call that again"
                    )
                _compiled[self.key] = _loop(self)
            return _compiled[self.key][1]


def function_of(given: Any) -> Function:
    """Look at a function, compiled by Numba or not.

    Raises
    ------
    ArgumentError
        If it is none, takes or gives other numbers than it is to, or cannot be told apart from others.
    """
    plain = getattr(given, "py_func", given)
    if not isinstance(plain, types.FunctionType):
        raise ArgumentError(f"function={given!r}: a function is needed, def f(x, y, z) or f(x, y, z, time)")
    taken = list(inspect.signature(plain).parameters.values())
    if len(taken) not in (3, 4) or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in taken):
        raise ArgumentError(
            f"{plain.__name__} takes ({', '.join(map(str, taken))}): x, y, z, or x, y, z and the time are needed"
        )
    key, timed = identity(plain), len(taken) == 4
    if key.startswith(UNKNOWN):
        raise ArgumentError(
            f"{plain.__name__} reads or calls {', '.join(_unknown(plain)) or 'something'}, of which it cannot be told "
            "whether it is the same another time: let it read numbers, arrays, and functions of these"
        )
    return Function(plain, timed, _gives(plain, len(taken)) == 6, key)


def _unknown(function: Any) -> list[str]:
    """Names of what has no identity."""
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=False)
    read = {name: cell.cell_contents for name, cell in cells}
    read |= {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    kept = {name: value for name, value in read.items() if not inspect.ismodule(value)}
    return [name for name, value in sorted(kept.items()) if identity(value).startswith(UNKNOWN)]


def _gives(function: Any, taken: int) -> int:
    """How many numbers a function gives."""
    from mmfields.kernels.own import values_of

    try:
        many = values_of(function, taken)
    except Exception as error:  # Numba raises of all kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in lines if not line.startswith("Failed in")), type(error).__name__)
        raise ArgumentError(
            f"{function.__name__} does not compile ({said.rstrip('.:')}): it may use numbers, NumPy and math, and "
            "functions of numba.njit"
        ) from error
    if many not in (3, 6):
        raise ArgumentError(
            f"{function.__name__} gives {many}: a tuple of three real numbers, Bx, By, Bz, or of six, with Ex, Ey, Ez "
            "over the speed of light, is needed"
        )
    return many


def _loop(own: Function) -> tuple[Any, Any]:
    """The compiled loop, which is to be kept, and how kernels find it."""
    from mmfields.kernels.own import address_of, loop_over

    loop = loop_over(own.function, own.timed, own.driven)
    return loop, address_of(loop)
