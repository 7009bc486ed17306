"""Scene classification data in folders of classes: what its data sets share, and any such folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.registry import DATASETS

from ..errors import MissingDataError, OptionError
from .checking import Fault, refuse
from .checking.annotations import read_lines
from .classification import ClassificationDataset
from .folder import find_images, find_scenes, stratified_split


@DATASETS.register_module()
class SceneFolder(ClassificationDataset):
    """Scene images in class subfolders, all of them or those that an annotation file lists.

    The names of the subfolders, sorted, are the classes; a subclass knows its classes beforehand, in the
    order of the rows that RSMamba's released checkpoints have for them.

    Args:
        data_root (str): Folder of the data set.
        ann_file (str): List of the images to take, one ``Class/name`` a line, absolute or relative to
            ``data_root``; a name may lack its suffix or bear another one than the file (a re-encoded
            copy). Defaults to '', all images.
        holdout (float): Share of the images, the same for each class, that is held out for model
            selection: 0.1 with ``held_out=False`` gives nine tenths, with ``held_out=True`` the other
            tenth. Defaults to 0.
        held_out (bool): Which of the two parts to take. Defaults to False.
        share (float): Share of the images, the same for each class, that are taken, before ``holdout`` has
            its share of them. Defaults to 1, all.
        rest (bool): Whether to take the others instead. Defaults to False.
        data_prefix (str, optional): Folder of the class subfolders in ``data_root``. Defaults to None,
            the one of the data set as downloaded, or ``data_root`` itself where that has the classes.
        pipeline (Sequence): Transforms. Defaults to none.
        test_mode (bool): Whether it serves a test. Defaults to False.
        indices (int | Sequence[int], optional): Take only these. Defaults to None.
        lazy_init (bool): Whether to list the images later. Defaults to False.

    Raises:
        MissingDataError: If the folder, a class, the list or a listed image is missing; the message
            says which path, what is expected there and what to do.
        FaultyDataError: If lines of the list are of no image or class of the data set; it names all.
        OptionError: If ``holdout`` or ``share`` is no share.
    """

    #: folder of the class subfolders as downloaded
    FOLDER = ''
    #: where the data set is described
    HOMEPAGE = ''
    #: name in tools/dataset_converters/split_scenes.py
    SPLIT_NAME = 'folder'

    def __init__(
        self,
        data_root: str,
        ann_file: str = '',
        holdout: float = 0.0,
        held_out: bool = False,
        share: float = 1.0,
        rest: bool = False,
        data_prefix: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        lazy_init: bool = False,
    ) -> None:
        if not 0 <= holdout < 1 or (held_out and not holdout):
            raise OptionError(
                f'{type(self).__name__}: holdout is the share to hold out, in [0, 1), and held_out=True '
                f'needs one above 0; got holdout={holdout}, held_out={held_out}'
            )
        if not 0 < share <= 1 or (rest and share == 1):
            raise OptionError(
                f'{type(self).__name__}: share is in (0, 1], and rest=True needs one below 1; got '
                f'share={share}, rest={rest}'
            )
        self.holdout, self.held_out = holdout, held_out
        self.share, self.rest = share, rest
        self.images = self._find_folder(Path(data_root), data_prefix)
        classes = self.METAINFO.get('classes') or find_scenes(self.images)[0]
        super().__init__(
            ann_file=ann_file,
            metainfo=dict(classes=tuple(classes)),
            data_root=data_root,
            pipeline=list(pipeline),
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: ``img_path`` and ``gt_label`` of each.
        """
        if not self.ann_file:
            paths = [path for name in self.CLASSES for path in find_images(self.images / name)]
        else:
            paths = self._listed()
        if not paths:
            place = self.ann_file or str(self.images)
            sentence = f'{type(self).__name__} finds none: write the list again, or set data_root'
            refuse([Fault(place, 'no samples', sentence)], 'the data')
        samples = [
            {'img_path': str(path), 'gt_label': self.class_to_idx[path.parent.name]} for path in paths
        ]
        if self.share < 1:
            samples = self._split(samples, (self.share, 1 - self.share))[self.rest]
        if self.holdout:
            samples = self._split(samples, (1 - self.holdout, self.holdout))[self.held_out]
        return samples

    def _split(self, samples: list[dict], shares: tuple[float, float]) -> list[list[dict]]:
        names = [self.CLASSES[sample['gt_label']] for sample in samples]
        return [[samples[index] for index in part] for part in stratified_split(names, shares)]

    def _find_folder(self, root: Path, prefix: str | None) -> Path:
        """The folder of the class subfolders, complete."""
        candidates = [root / self.FOLDER, root] if prefix is None else [root / prefix]
        classes = self.METAINFO.get('classes')
        if classes is None:
            return candidates[0]
        for folder in candidates:
            missing = [name for name in classes if not (folder / name).is_dir()]
            if not missing:
                return folder
            if len(missing) < len(classes):
                raise MissingDataError(
                    f'{type(self).__name__}: {folder} lacks {len(missing)} of {len(classes)} class '
                    f'folders: {", ".join(missing[:5])}{" …" if len(missing) > 5 else ""}'
                )
        raise MissingDataError(
            f'{type(self).__name__}: no class folders in {candidates[0].resolve()}. Expected there: one '
            f'folder for each of {classes[0]}, {classes[1]}, … ({len(classes)} classes), as downloaded '
            f'from {self.HOMEPAGE}. Where they lie elsewhere: --cfg-options data_root=FOLDER. Then split '
            f'them: {self._split_command("FOLDER")}. Or fetch and split them: '
            f'python tools/download_dataset.py {self.SPLIT_NAME}'
        )

    def _split_command(self, folder: str | Path) -> str:
        return f'python tools/dataset_converters/split_scenes.py {self.SPLIT_NAME} {folder}'

    def _listed(self) -> list[Path]:
        """The images of the annotation file."""
        listing = Path(self.ann_file)
        if not listing.is_file():
            raise MissingDataError(
                f'{type(self).__name__}: annotation file not found: {listing.resolve()}. Expected: a text '
                f'file with one Class/name a line; make it: {self._split_command(self.data_root)}'
            )
        present = [path for name in self.CLASSES for path in find_images(self.images / name)]
        # by the exact name first: two images may differ in the suffix alone
        stems: dict[tuple[str, str], list[Path]] = {}
        for path in present:
            stems.setdefault((path.parent.name, _composed(path.stem)), []).append(path)
        by_name = {(path.parent.name, _composed(path.name)): [path] for path in present}
        lines, faults = read_lines(listing, bom=True)
        paths = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, image = _composed(line.strip().replace('\\', '/')).rpartition('/')
            name = name.rpartition('/')[2]
            found = by_name.get((name, image), [])
            if not found and not set(Path(image).suffix) & set(' \t'):
                found = stems.get((name, Path(image).stem), [])
            if len(found) == 1:
                paths += found
            else:
                kind, sentence = self._fault(line, name, image, found)
                faults.append(Fault(f'{listing}:{number}', kind, sentence, line=number))
        refuse(faults, f'the list of {type(self).__name__}')
        return paths

    def _fault(self, line: str, name: str, image: str, found: list[Path]) -> tuple[str, str]:
        """What is wrong with a line that is not of one image."""
        if name not in self.class_to_idx:
            alike = next((c for c in self.CLASSES if c.casefold() == name.casefold()), None)
            return 'unknown class', (
                f'{line!r} names no class of {type(self).__name__}; expected Class/name with a class such '
                f'as {alike or self.CLASSES[0]}'
            )
        if found:
            return 'ambiguous', (
                f'{line!r} may be {" or ".join(path.name for path in found)}: write it with its suffix'
            )
        last = image.replace('\t', ' ').rpartition(' ')[2]
        hint = f' (a label in its line? Remove {last})' if last.isdecimal() and last != image else ''
        return 'missing', f'{line!r} is listed but there is no such image in {self.images / name}{hint}'


def _composed(name: str) -> str:
    """Accents as one character: some systems write them apart, in names or in lists."""
    return unicodedata.normalize('NFC', name)
