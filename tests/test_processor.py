"""What the system tells of the processor."""

import platform

from rsmamba_mm import processor


def test_the_first_one_is_read(tmp_path, monkeypatch):
    told = tmp_path / 'cpuinfo'
    told.write_text(
        'processor\t: 0\nmodel name\t: A: 1\nflags\t\t: sse avx2\n\nprocessor\t: 1\nmodel name\t: B\n'
    )
    monkeypatch.setattr(processor, 'PLACE', told)
    assert processor.processor() == {'processor': '0', 'model name': 'A: 1', 'flags': 'sse avx2'}
    assert processor.processor_name() == 'A: 1'


def test_elsewhere_the_system_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, 'PLACE', tmp_path / 'none')
    monkeypatch.setattr(platform, 'processor', lambda: '')
    assert processor.processor() == {} and processor.processor_name() == platform.machine()
