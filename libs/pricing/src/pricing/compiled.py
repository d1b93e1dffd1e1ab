"""How the kernels of this library are compiled: LLVM vectorises them, and the same input gives the same bits.

Only ``contract`` (fused multiply–add) of LLVM's fast-math flags is set: sums are not reordered, NaN and ±∞ keep their
meaning. Division by zero follows IEEE 754, because an exception inside a loop would keep it from being vectorised.

Compiled code is kept on disk: beside the sources, else in the user's cache directory, or where ``NUMBA_CACHE_DIR``
says. It is compiled anew when a module that the kernel is made of has changed; numba itself looks at the kernel's own.
"""

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import numba

_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "fastmath": {"contract"}}

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


def inlined(step: F) -> F:
    """Decorate a step that kernels are made of: it becomes part of each kernel that calls it."""
    compiled: F = numba.njit(forceinline=True, **_OPTIONS)(step)
    return compiled


def kernel(*signatures: str) -> Callable[[F], F]:
    """Decorate a kernel: compiled, or loaded from disk, when its module is imported; it runs without the GIL.

    Without signatures that happens at its first call, for the types it is called with.

    Without any directory to keep it in it still works, with a warning: it is then compiled at every start.
    """

    def compiled(function: F) -> F:
        dispatcher: Any = numba.njit(nogil=True, **_OPTIONS)(function)
        if dispatcher is not function:  # it is with NUMBA_DISABLE_JIT
            _keep_on_disk(dispatcher)
            for signature in signatures:
                dispatcher.compile(signature)
            if signatures:
                dispatcher.disable_compile()  # an argument of another type is a mistake, not a reason to compile
        kernel: F = dispatcher
        return kernel

    return compiled


def _keep_on_disk(dispatcher: Any) -> None:
    try:
        dispatcher.enable_caching()
    except RuntimeError as error:
        warnings.warn(
            f"pricing compiles its kernels at every start, some seconds each: {error}; "
            "set NUMBA_CACHE_DIR to a directory that can be written",
            RuntimeWarning,
            stacklevel=4,
        )
        return
    # numba has no public way to name what a kernel is made of.
    dispatcher._cache._cache_file._source_stamp = _stamp(dispatcher)  # noqa: SLF001


def _stamp(dispatcher: Any) -> str:
    """Digest of the sources of all modules that a kernel and the steps it calls, directly or not, are defined in."""
    modules = {inspect.getmodule(function) for function in _parts(dispatcher.py_func, set())}
    sources = sorted(inspect.getsource(module) for module in modules if module is not None)
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def _parts(function: Function, seen: set[Function]) -> Iterator[Function]:
    if function in seen:
        return
    seen.add(function)
    yield function
    for name in function.__code__.co_names:
        called = getattr(function.__globals__.get(name), "py_func", None)
        if called is not None:
            yield from _parts(called, seen)
