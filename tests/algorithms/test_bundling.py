"""The kernels of a compiled graph come in one file, and compute what they computed apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.core.lifting import bundling, compiling
from algorithms.core.lifting.bundling import ENTRY, Bundle, bundled, swapped


def kernel(body: str) -> str:
    return f"#include <x.h>\n{ENTRY}const float* in, float* out)\n{{ {body} }}\n"


def test_a_bundle_holds_each_kernel_once_under_a_name_of_its_own() -> None:
    from torch._inductor.codecache import CppPythonBindingsCodeCache as Cache

    bundle = Bundle()
    for body in ("one", "two", "one"):
        bundle.add(["const float*", "float*"], kernel(body))
    code = bundle.code(Cache.suffix_template)
    assert len(bundle.sources) == 2
    assert code.count('extern "C"  void  kernel_') == 2
    assert "kernel_1(parse_arg<float*>(args, 0), parse_arg<float*>(args, 1))" in code
    for name in ("kernel_0", "kernel_1"):
        assert f'{{"{name}", {name}_py, METH_VARARGS, ""}}' in code
    assert "PyInit_kernels" in code


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="without the entry"):
        Bundle().add([], "int main() {}")
    with pytest.raises(ValueError, match="looks different"):
        Bundle().code("static int main")


def test_a_method_is_swapped_only_meanwhile() -> None:
    class Owner:
        def answer(self) -> int:
            return 1

    def answer(self: Any) -> int:
        return 2

    with swapped(Owner, answer):
        assert Owner().answer() == 2
    assert Owner().answer() == 1
    with pytest.raises(AttributeError), swapped(int, answer):
        raise AssertionError("never entered")


def layers(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Elementwise operations before, between and after products: several kernels."""
    return torch.softmax(torch.tanh((x + 1.0) @ a) @ b, -1)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many kernels each compiled file held."""
    made: list[int] = []
    code = Bundle.code

    def count(self: Bundle, template: str) -> str:
        made.append(len(self.sources))
        return code(self, template)

    monkeypatch.setattr(Bundle, "code", count)
    return made


@pytest.mark.skipif(not compiling.compiler_available(), reason="no C++ compiler")
def test_a_compiled_graph_is_one_file_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[int]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    args = tuple(torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(1)) for _ in "abc")
    fast: Callable[..., Any] = compiling.compiled(layers, args)
    torch.testing.assert_close(fast(*args), layers(*args), rtol=1e-5, atol=1e-6)
    assert len(compilations) == 1
    assert compilations[0] >= 3


def test_without_the_inner_parts_compiling_falls_back_to_tracing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise AttributeError("moved")

    monkeypatch.setattr(compiling, "bundled", broken)
    args = tuple(torch.ones(2, 2, 2) for _ in "abc")
    found = compiling.compiled(layers, args)(*args)
    torch.testing.assert_close(found, layers(*args))
    assert "uncompiled" in caplog.text


def test_the_inner_parts_are_there() -> None:
    with bundled():
        assert bundling.ENTRY
