"""The native backend's doors under sanitizers, on random calls; ``make sanitize`` does it alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from native import sanitize

CASES = 100_000  # of a block at length; a few thousand where the programs are there already


@pytest.mark.reliability
@pytest.mark.slow
@pytest.mark.parametrize('sanitizer', sanitize.WATCHED, ids=['address', 'thread'])
def test_random_calls_of_the_native_code(sanitizer, tally):
    name = sanitize.WATCHED[sanitizer]
    if tally.level == 0 and not any(sanitize.PROGRAMS.glob('doors-*')):
        pytest.skip(f'{name}: to compile takes a minute, and make sanitize does it')
    missing = sanitize.lacks(sanitize.gcc(), sanitizer)
    if missing:
        pytest.skip(f'{name} cannot watch here: {missing}')
    builds = sanitize.builds(sanitizer)
    if tally.level == 0 and not all(sanitize.program_of(*each).exists() for each in builds):
        pytest.skip(f'{name}: the sources have changed since make sanitize')
    with ThreadPoolExecutor(2) as pool:
        programs = list(pool.map(lambda each: sanitize.build(*each), builds))
    block = tally.times(2000, CASES, CASES)
    if sanitizer == sanitize.THREAD:
        block //= sanitize.LESS_THREADED
    levels = 1, 1, 100
    for seed in tally.blocks(*levels):
        sanitize.share(seed * block, block, programs)
    tally.record(
        'Native code',
        f'random calls of each function, forward and backward, under {name}',
        tally.times(*levels) * block,
        f'{sanitize.FOUND_NOTHING[sanitizer]}, results as the formula gives them',
    )


@pytest.mark.reliability
@pytest.mark.slow
def test_operators_on_a_library_under_addresssanitizer(tally):
    if tally.level == 0:
        pytest.skip('make reliability compiles the library for it')
    pytest.importorskip('hypothesis', reason='hypothesis is not installed')
    missing = sanitize.lacks(sanitize.gcc(), sanitize.ADDRESS)
    if missing:
        pytest.skip(f'AddressSanitizer cannot watch here: {missing}')
    from test_doors import BLOCK

    levels = 0, 4, 400
    for seed in tally.blocks(*levels):
        sanitize.try_operators(seed, seed + 1)
    tally.record(
        'Native code',
        'operators on random shapes, dtypes, layouts and orders, the library under AddressSanitizer',
        tally.times(*levels) * BLOCK,
        'nothing read or written out of bounds',
    )
