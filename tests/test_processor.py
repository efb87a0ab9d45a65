"""What the system says of its CPU, and systems that say nothing."""

import platform

import pytest

from musicbench import processor

ZEN_3 = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n\nprocessor\t: 1\n"
SAPPHIRE = "model name\t: Xeon\nflags\t\t: sse4_2 avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\n"


@pytest.mark.parametrize(
    ("text", "best", "model"),
    [
        (ZEN_3, "avx2", "AMD EPYC 7B13"),
        (SAPPHIRE, "avx512f+avx512_bf16+amx_bf16", "Xeon"),
        (GRAVITON, "sve+i8mm+bf16", None),
        ("", platform.machine(), None),
        (None, platform.machine(), None),
    ],
)
def test_instructions_and_model(monkeypatch, tmp_path, text, best, model):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(processor, "_DESCRIPTION", path)
    assert processor.best_instructions() == best
    assert processor.cpu_model() == (model or platform.processor() or platform.machine())


def test_the_last_cache_is_the_largest(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "_CACHES", tmp_path)
    assert processor.last_cache() is None
    for index, size in enumerate(("48K\n", "32K\n", "1M\n", "32768K\n", "unknown\n")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size)
    assert processor.last_cache() == 32 << 20
