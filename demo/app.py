#!/usr/bin/env python3
"""Try the models in a browser: ``python demo/app.py``, then open the address that it prints.

Drop an image or a small GeoTIFF: the scene's class with scores and what the gates of RSMamba weigh its
paths with; the land cover over the image with areas, and as a GeoTIFF to keep. The models are those of the
package, those that ``make demo`` leaves (``--demo``), or your own. The page is served to this machine
alone, unless ``--host`` or ``--share`` say otherwise.
"""

from __future__ import annotations

import argparse
import html
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import numpy as np
from matplotlib.figure import Figure

from rsmamba_mm.apis import LandCoverSegmenter, SceneClassifier, record_gates
from rsmamba_mm.command_line import Parser, add_pickle_argument
from rsmamba_mm.datasets import SCENE_CLASSES, render_scene
from rsmamba_mm.errors import MissingDataError, OptionError, UserError
from rsmamba_mm.visualization import draw_gates, overlay_classes
from rsmamba_mm.visualization._figures import as_rgb, save_image

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')  # the page tells nobody that it runs
# of 10,000 requests Gradio would keep a record, and make a table of all of them after each
os.environ.setdefault('GRADIO_ANALYTICS_MAX_EVENTS', '100')
os.environ.setdefault('GRADIO_ANALYTICS_CACHE_FREQUENCY', '1000000')
try:
    import gradio as gr
except ImportError:
    raise SystemExit(
        'demo/app.py needs Gradio: pip install -c requirements/constraints.txt ".[mm,geo,app]"'
    ) from None

try:
    import rasterio

    from rsmamba_mm.apis import RasterResult, segment_raster
except ImportError as error:
    raise SystemExit(f'demo/app.py: {error}') from None

ROOT = Path(__file__).resolve().parents[1]
LEFT_BY_DEMO = ROOT / 'work_dirs' / 'demo'
LEFT_BY_DEMO_AS = dict(classifier='classification', segmenter='segmentation')
OF_PACKAGE = dict(classifier='rsmamba-t_ucmerced', segmenter='unetmamba-tiny_dubai')
REAL_IMAGES = ROOT / 'docs' / 'images'
MOST_PIXELS = 4096 * 4096
OPACITY = 60  # per cent
EXAMPLES, EXAMPLE_SEED, EXAMPLE_SIZE = 8, 2024, 256

CSS = """
.legend {border-collapse: collapse; width: 100%}
.legend td, .legend th {padding: 2px 8px; text-align: left}
.legend .number {text-align: right; font-variant-numeric: tabular-nums}
.legend i {display: inline-block; width: 1em; height: 1em; border: 1px solid #555; vertical-align: -0.1em}
"""


@dataclass
class LandCover:
    """A map, kept to be painted again.

    Attributes:
        image (np.ndarray): ``(H, W, 3)`` uint8 RGB.
        labels (np.ndarray): ``(H, W)`` uint8, 255 without data.
        palette (np.ndarray): ``(C, 3)`` uint8 RGB.
        file (Path): The GeoTIFF.
        table (str): HTML with colours, classes and areas.
        folder (TemporaryDirectory): Of the GeoTIFF; removed with this, of which a visitor has the last one.
    """

    image: np.ndarray
    labels: np.ndarray
    palette: np.ndarray
    file: Path
    table: str
    folder: tempfile.TemporaryDirectory

    def painted(self, percent: float) -> np.ndarray:
        """The classes over the image."""
        return overlay_classes(self.image, self.labels, self.palette, percent / 100)


class Models:
    """A classifier and a segmenter of images and small GeoTIFFs.

    Args:
        classifier, segmenter (Sequence[str]): Config and checkpoint of each, or a name alone, of a model of
            the package or of a folder that ``publish_model.py`` wrote.
        device (str, optional): Defaults to None, a GPU if there is one.

    Raises:
        OptionError: If a model cannot be loaded.
    """

    def __init__(
        self, classifier: Sequence[str], segmenter: Sequence[str], device: str | None = None
    ) -> None:
        self.classifier = SceneClassifier(*classifier, device=device)
        self.segmenter = LandCoverSegmenter(*segmenter, device=device)

    def scene(self, path: Path) -> tuple[np.ndarray, dict[str, float], Figure | None]:
        """The image, the classes with the highest scores, and the gates of a model that has some."""
        try:
            with record_gates(self.classifier.model) as gates:
                prediction = self.classifier(path)
        except OptionError:  # no gates: another classifier than RSMamba, or one with a single path
            prediction, gates = self.classifier(path), None
        figure = None if gates is None else draw_gates(gates.weights[0], gates.orders)
        return as_rgb(prediction.image), dict(prediction.top()), figure

    def land_cover(self, path: Path, image: np.ndarray) -> LandCover:
        """The map of an image, written as a GeoTIFF."""
        folder = tempfile.TemporaryDirectory(prefix='rsmamba_mm-map-', ignore_cleanup_errors=True)
        result = segment_raster(
            path, Path(folder.name) / f'{path.stem}_land_cover.tif', self.segmenter, areas=True
        )
        with rasterio.open(result.map) as written:
            labels = written.read(1)
        palette = np.asarray(self.segmenter.palette, np.uint8)
        return LandCover(image, labels, palette, result.map, self._table(result, labels), folder)

    def _table(self, result: RasterResult, labels: np.ndarray) -> str:
        """Colours, names, shares and areas of the classes that occur, the largest first."""
        counts = np.bincount(labels[labels < len(result.classes)], minlength=len(result.classes))
        rows = ['<tr><th></th><th>class</th><th class="number">share</th><th class="number">area</th></tr>']
        for i in np.argsort(-counts, kind='stable'):
            if not counts[i]:
                break
            name = result.classes[i]
            area = f'{counts[i]:,} px' if result.areas is None else _square_metres(result.areas[name])
            share = f'{100 * counts[i] / counts.sum():.1f} %'
            rows.append(
                f'<tr><td><i style="background: rgb{tuple(self.segmenter.palette[i])}"></i></td>'
                f'<td>{html.escape(name)}</td><td class="number">{share}</td>'
                f'<td class="number">{area}</td></tr>'
            )
        return f'<table class="legend">{"".join(rows)}</table>'


def _square_metres(area: float) -> str:
    """An area as people say it."""
    if area >= 1e6:
        return f'{area / 1e6:,.2f} km²'
    return f'{area / 1e4:,.2f} ha' if area >= 1e4 else f'{area:,.0f} m²'


def check_size(path: Path) -> None:
    """Refuse what takes longer than a person waits before a page.

    Raises:
        MissingDataError: If the file is no image.
        OptionError: If it is too large.
    """
    try:
        with rasterio.open(path) as source:
            height, width = source.shape
    except rasterio.errors.RasterioError as error:
        raise MissingDataError(f'{path.name} cannot be read as an image: {error}') from error
    if width * height > MOST_PIXELS:
        raise OptionError(
            f'{path.name} has {width} × {height} px, too much for this page: '
            'tools/segment_raster.py maps rasters of any size'
        )


def left_by_demo(option: str) -> tuple[str, str]:
    """Config and best checkpoint that ``make demo`` left for an option.

    Raises:
        MissingDataError: If it has not run.
    """
    folder = LEFT_BY_DEMO / LEFT_BY_DEMO_AS[option]
    configs, checkpoints = (
        sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
        for pattern in ('*.py', 'best_*.pth')
    )
    if not configs or not checkpoints:
        raise MissingDataError(
            f'no trained model in {folder}: run `make demo` first, or leave --demo out and name one with '
            f'--{option}'
        )
    return str(configs[-1]), str(checkpoints[-1])


def draw_examples(folder: Path) -> list[Path]:
    """Synthetic scenes that no model of ours was trained on, as files."""
    names = SCENE_CLASSES[:: max(1, len(SCENE_CLASSES) // EXAMPLES)][:EXAMPLES]
    files = [folder / f'{name}.png' for name in names]
    for file, name in zip(files, names, strict=True):
        save_image(render_scene(name, EXAMPLE_SIZE, seed=EXAMPLE_SEED).image[..., ::-1], file)
    return files


def build_page(models: Models, examples: Sequence[Path]) -> gr.Blocks:
    """The page on two models, with images to try."""
    # every picture and map that was shown is a file: those of a day ago are removed each hour
    with gr.Blocks(title='rsmamba_mm', analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown('## Land cover and scene of an image from above')
        kept = gr.State()
        with gr.Row():
            with gr.Column():
                file = gr.File(label='Image or GeoTIFF', elem_id='file')
                scenes = gr.Gallery(
                    [(str(path), path.stem.replace('_', ' ')) for path in examples],
                    label='Images to try',
                    columns=4,
                    height=300,
                    allow_preview=False,
                    elem_id='examples',
                )
            with gr.Column(), gr.Tabs():
                with gr.Tab('Land cover'):
                    overlay = gr.Image(
                        label='Land cover',
                        interactive=False,
                        height=400,
                        buttons=['download', 'fullscreen'],
                        elem_id='overlay',
                    )
                    opacity = gr.Slider(0, 100, OPACITY, step=5, label='Opacity (%)', elem_id='opacity')
                    areas = gr.HTML(elem_id='areas')
                    download = gr.DownloadButton(
                        'Download the GeoTIFF', interactive=False, elem_id='download'
                    )
                with gr.Tab('Scene'):
                    scores = gr.Label(label='Scene', num_top_classes=5, elem_id='scores')
                    gates = gr.Plot(show_label=False, elem_id='gates')

        def read(path: str | None, percent: float):
            if path is None:
                return None, None, '', gr.DownloadButton(interactive=False), None, None
            try:
                check_size(Path(path))
                image, top, figure = models.scene(Path(path))
                cover = models.land_cover(Path(path), image)
            except UserError as error:
                raise gr.Error(str(error), duration=None) from error
            button = gr.DownloadButton(value=str(cover.file), interactive=True)
            return cover, cover.painted(percent), cover.table, button, top, figure

        def choose(event: gr.SelectData) -> str:
            return str(examples[event.index])

        def repaint(cover: LandCover | None, percent: float) -> np.ndarray | None:
            return None if cover is None else cover.painted(percent)

        file.change(read, [file, opacity], [kept, overlay, areas, download, scores, gates])
        scenes.select(choose, None, file)
        opacity.change(
            repaint, [kept, opacity], overlay, trigger_mode='always_last', show_progress='hidden'
        )
    return page


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, name in OF_PACKAGE.items():
        parser.add_argument(
            f'--{option}',
            nargs='+',
            metavar='MODEL',
            help=f'config and checkpoint, or the name of a model of the package (default: {name})',
        )
    parser.add_argument(
        '--demo', action='store_true', help='the models that `make demo` left in work_dirs/demo'
    )
    parser.add_argument('--device', help='default: a GPU if there is one')
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 serves the network (default: 127.0.0.1)'
    )
    parser.add_argument('--port', type=int, default=7860, help='default: 7860')
    parser.add_argument('--share', action='store_true', help="a public address through Gradio's servers")
    add_pickle_argument(parser)
    args = parser.parse_args()
    # of pictures without coordinates, which are as welcome
    warnings.filterwarnings('ignore', category=rasterio.errors.NotGeoreferencedWarning)
    for option in OF_PACKAGE:
        if len(getattr(args, option) or ()) > 2:
            parser.refuse(f'--{option} takes the name of a model, or a config and a checkpoint')
    try:
        named = {
            option: getattr(args, option) or (left_by_demo(option) if args.demo else [name])
            for option, name in OF_PACKAGE.items()
        }
        models = Models(**named, device=args.device)
    except UserError as error:
        parser.refuse(error)
    real = [] if args.demo else sorted(REAL_IMAGES.glob('*.jpg'))
    examples = real or draw_examples(Path(tempfile.mkdtemp(prefix='rsmamba_mm-examples-')))
    build_page(models, examples).launch(
        server_name=args.host, server_port=args.port, share=args.share, css=CSS, quiet=False
    )


if __name__ == '__main__':
    main()
