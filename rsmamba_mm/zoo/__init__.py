"""The small trained models that the package carries: ``SceneClassifier(NAME)`` needs nothing else.

Each is a folder as :func:`~rsmamba_mm.apis.publish_model` writes it, with weights of 16 bits. The tools
take the name in place of CONFIG CHECKPOINT, and configs :data:`SCHEME` with it as a checkpoint to start
from. Importing this is light.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ..errors import OptionError

ZOO = Path(__file__).parent
SCHEME = 'rsmamba_mm://'  # before a name: its weights, where MMEngine takes a checkpoint


def zoo_models() -> list[str]:
    """Names of the models that the package carries; ``rsmamba_mm/zoo/NAME/README.md`` tells of each."""
    return sorted(path.parent.name for path in ZOO.glob('*/config.json'))


def published_files(source: str | Path) -> tuple[str, str]:
    """Config and weights of a model of the package, or of a folder that ``publish_model`` wrote.

    Args:
        source (str | Path): Name of the model, or the folder.

    Returns:
        tuple[str, str]: The files.

    Raises:
        OptionError: If it is neither; the message says what there is.
    """
    for folder in (ZOO / str(source), Path(source)):
        files = folder / 'config.json', folder / 'model.safetensors'
        if all(file.is_file() for file in files):
            return str(files[0]), str(files[1])
    names = zoo_models()
    if Path(source).suffix == '.py':
        raise OptionError(f'{source}: a config needs a checkpoint beside it: name both')
    near = get_close_matches(str(source), names, 1)
    hint = f'did you mean {near[0]}?' if near else f'the package has {", ".join(names) or "none"}'
    raise OptionError(
        f'{source} is no model of the package, nor a folder of tools/model_converters/publish_model.py: '
        f'{hint}'
    )
