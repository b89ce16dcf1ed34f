"""Whether the installed JAX and numpy fit together, and the exact mend where they do not.

The usual traceback names neither: `jax.random.key(0)` raises a TypeError about `copy` deep inside
when numpy is too old for this JAX, and a numpy that is too new for a compiled part says
`multiarray` or `_ARRAY_API`. Judged from the versions and what JAX itself asks for.
"""

import re

from robotd.installed import install_again, uv_pip

EXTRAS = ("policy", "jax")
"""What brings both to the versions that robotd was made with."""
RANGES = ("jax>=0.5,<0.8", "numpy>=2,<2.3")
"""The ranges of robotd's `pyproject.toml`."""

_BINARY = ("multiarray", "_ARRAY_API", "numpy.core", "dtype size changed", "compiled using NumPy")


def pair_problem(jax: str, numpy: str, needs: str, error: str) -> tuple[str, str, str] | None:
    """What is wrong between them as (what, likely, do); None where nothing is.

    `needs` is JAX's own requirement of numpy (`numpy>=2.0`; empty where unknown), `error` what
    importing JAX or making its first random key raised (empty where nothing).
    """
    do = f"{install_again(*EXTRAS)}. If that changes nothing: {uv_pip('install', *RANGES)}."
    minimum = re.search(r">=\s*([\d.]+)", needs)
    if minimum is not None and _numbers(numpy) < _numbers(minimum[1]):
        return (
            f"JAX {jax} needs numpy {minimum[1]} or newer, and numpy {numpy} is installed.",
            "Another package was installed afterwards and brought an older numpy.",
            do,
        )
    if "copy" in error and "TypeError" in error:
        return (
            f"JAX {jax} cannot make an array with numpy {numpy} ({_short(error)}).",
            "This numpy does not know the `copy` that this JAX passes it: it is too old for it.",
            do,
        )
    if any(word in error for word in _BINARY):
        return (
            f"JAX {jax} was compiled for another numpy than {numpy} ({_short(error)}).",
            "numpy was brought to a version that jaxlib or ml_dtypes were not built for.",
            do,
        )
    if error:
        return (
            f"JAX {jax} does not start beside numpy {numpy}: {_short(error)}.",
            "jax and jaxlib are of different versions, or a plugin of JAX is broken.",
            do,
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _short(error: str) -> str:
    return error.strip().splitlines()[-1][:200].rstrip(".") if error.strip() else ""
