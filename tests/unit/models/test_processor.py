import pytest

from models.processor import _container_quota, _cpuinfo, processor


@pytest.mark.parametrize(
    ("flags", "number_type"),
    [
        ("avx2 fma", "f32"),
        ("avx512f avx512_bf16", "bf16"),
        ("avx512f amx_bf16", "bf16"),
        ("avx512f avx512_vnni", "f32"),
    ],
    ids=["avx2", "avx512-bf16", "amx", "avx512-without-bf16"],
)
def test_bf16_needs_its_own_flag(tmp_path, monkeypatch, flags, number_type):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n")
    monkeypatch.setattr("models.processor._cpuinfo", lambda _path: _cpuinfo(info))
    processor.cache_clear()
    try:
        assert processor().number_type == number_type
        assert processor().name == "Some CPU"
    finally:
        processor.cache_clear()


def test_a_system_without_cpuinfo_computes_in_f32(tmp_path):
    assert _cpuinfo(tmp_path / "none") == ("unknown processor", frozenset())


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000", 8), ("150000 100000", 2), ("20000 100000", 1), ("", 8)], ids=str
)
def test_a_container_quota_limits_the_cores(tmp_path, content, cores):
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert _container_quota(path, 8) == cores
