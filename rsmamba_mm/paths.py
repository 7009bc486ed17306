"""Where the configs and tools of this package lie: in a source tree, or in an installed package."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def share() -> Path:
    """The folder that has ``configs``, ``tools`` and ``model-index.yml``."""
    installed = PACKAGE / '.mim'
    return installed if installed.exists() else PACKAGE.parent
