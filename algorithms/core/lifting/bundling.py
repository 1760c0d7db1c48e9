"""Inductor's kernels of one graph as one C++ file.

Inductor gives each kernel a file, and a compiler's start costs ten times what a small kernel does.
This reaches into Inductor where its kernels are handed to the compiler, and no further: whatever is
not there as expected is an error, which `compiling.compiled` answers by doing without.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

Kernel = Callable[..., None]
ENTRY = 'extern "C"  void  kernel('


class Bundle:
    """The kernels of a graph, compiled together when the first of them is asked for."""

    def __init__(self) -> None:
        self.sources: list[tuple[tuple[str, ...], str]] = []
        self.module: Any = None

    def add(self, argtypes: list[str], source: str) -> Callable[[], Kernel]:
        """Note a kernel; what gives it, once all have been noted."""
        if ENTRY not in source:
            raise ValueError("a kernel without the entry that kernels have")
        kernel = (tuple(argtypes), source)
        if kernel not in self.sources:
            self.sources.append(kernel)
        number = self.sources.index(kernel)
        return lambda: self.get(number)

    def get(self, number: int) -> Kernel:
        if self.module is None:
            from torch._inductor.codecache import CppPythonBindingsCodeCache as Cache

            self.module = _cache(Cache).load_async(self.code(Cache.suffix_template))()
        kernel: Kernel = getattr(self.module, f"kernel_{number}")
        return kernel

    def code(self, template: str) -> str:
        """All of it in C++. `template`: Inductor's Python binding of one function."""
        head, function, methods, tail = _parts(template)
        filled = {"entry_func": "kernels", "extra_parse_arg": ""}
        parts, entries = [], []
        for number, (argtypes, source) in enumerate(self.sources):
            name = f"kernel_{number}"
            parts.append(source.replace(ENTRY, ENTRY.replace("kernel(", f"{name}(")))
            taken = ", ".join(
                f"parse_arg<{kind.replace('const ', '')}>(args, {n})"
                for n, kind in enumerate(argtypes)
            )
            call = f"{name}({taken}); Py_RETURN_NONE;"
            entries.append(
                function.format(entry_func=name, arg_len=len(argtypes), call_entry_func=call)
            )
        table = "".join(methods.format(entry_func=f"kernel_{n}") for n in range(len(parts)))
        start = "static PyMethodDef py_methods[] = {\n"
        return "\n".join(
            [*parts, head.format(**filled), *entries, start + table, tail.format(**filled)]
        )


def _parts(template: str) -> tuple[str, str, str, str]:
    """A binding's template: what comes first, its function, its line in the table, the rest."""
    pattern = (
        r"(?s)(.*?)(static PyObject\* \{entry_func\}_py.*?)"
        r"static PyMethodDef py_methods\[\] = \{\{\n(.*?\n)(\s*\{\{NULL, NULL, 0, NULL\}\}.*)"
    )
    found = re.fullmatch(pattern, template)
    if found is None:
        raise ValueError("Inductor's binding of kernels looks different")
    head, function, methods, tail = found.groups()
    return head, function, methods, tail


def _cache(base: Any) -> Any:
    return type("Kernels", (base,), {"cache": {}, "entry_function": "kernels"})


@contextlib.contextmanager
def bundled() -> Iterator[None]:
    """What Inductor compiles or loads meanwhile comes in one file; and the compiler is taken to
    know the processor's instructions, which Inductor would try out one by one."""
    from torch._inductor.async_compile import AsyncCompile
    from torch._inductor.codecache import LambdaFuture
    from torch._inductor.cpu_vec_isa import VecISA

    bundles: dict[int, Bundle] = {}  # one a module: each has an AsyncCompile of its own

    def cpp_pybinding(self: Any, argtypes: list[str], source: str) -> Any:
        return LambdaFuture(bundles.setdefault(id(self), Bundle()).add(argtypes, source))

    def check_build(self: Any, code: str) -> bool:
        return True

    with swapped(AsyncCompile, cpp_pybinding), swapped(VecISA, check_build):
        yield


@contextlib.contextmanager
def swapped(owner: type, method: Callable[..., Any]) -> Iterator[None]:
    """`owner` with another method of that name. Raises `AttributeError` where it has none."""
    before = getattr(owner, method.__name__)
    setattr(owner, method.__name__, method)
    try:
        yield
    finally:
        setattr(owner, method.__name__, before)
