import pytest

from rsmamba_mm.visualization._names import unique_names


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        ([], []),
        (['x/a.png', 'y/b.jpg'], ['a', 'b']),
        (['/x/a.png', '/y/a.png', '/y/z/b.png'], ['x/a', 'y/a', 'y/z/b']),
        (['x/a.jpg', 'x/a.png'], ['a.jpg', 'a.png']),
        (['x/a.png', 'x/a.png'], ['a']),
    ],
)
def test_names_of_images(paths, names):
    found = unique_names(paths)
    assert list(found.values()) == names and list(found) == list(dict.fromkeys(paths))
