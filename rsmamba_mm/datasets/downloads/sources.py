"""Where the data sets are published today.

Sizes and checksums are those that the publishers give: Zenodo for LoveDA, TorchGeo and its benchmark for
the scenes, whose authors' own links have gone stale. Addresses of Hugging Face name a revision.
"""

from __future__ import annotations

from dataclasses import dataclass

_HUB = 'https://huggingface.co/datasets'
_ZENODO = 'https://zenodo.org/records/5706578/files'


@dataclass(frozen=True)
class Archive:
    """A file to fetch.

    Attributes:
        name (str): Its name.
        url (str): Its address.
        checksum (str): ``sha256:…`` or ``md5:…``.
        size (int, optional): Its size in bytes; None if the publisher does not give it.
    """

    name: str
    url: str
    checksum: str
    size: int | None = None


@dataclass(frozen=True)
class Source:
    """A data set as it is published.

    Attributes:
        title (str): What people call it.
        folder (str): Its folder in the folder of all data, as the configs have it.
        licence (str): What may be done with it.
        by_hand (str): Where a browser gets it.
        archives (tuple[Archive, ...]): Its files; none if its owners want a form filled in first.
    """

    title: str
    folder: str
    licence: str
    by_hand: str
    archives: tuple[Archive, ...] = ()


SOURCES: dict[str, Source] = {
    'ucmerced': Source(
        title='UC Merced Land Use',
        folder='ucmerced',
        licence='public domain (imagery of the USGS); cite Yang and Newsam, 2010',
        by_hand='http://weegee.vision.ucmerced.edu/datasets/landuse.html or '
        f'{_HUB}/torchgeo/ucmerced/tree/main',
        archives=(
            Archive(
                'UCMerced_LandUse.zip',
                f'{_HUB}/torchgeo/ucmerced/resolve/7c5ef3454d9b1cccfa7ccde0c01fc8f00a45909a/'
                'UCMerced_LandUse.zip',
                'sha256:06c539ef28703a58fb07bd2837991ac7c48b813b00bb12ac197efd813a18daeb',
                332_468_434,
            ),
        ),
    ),
    'aid': Source(
        title='AID',
        folder='aid',
        licence='none stated; images of Google Earth, for research; cite Xia et al., 2017',
        by_hand=f'https://captain-whu.github.io/AID/ or {_HUB}/isaaccorley/aid/tree/main',
        archives=(
            Archive(
                'AID.zip',
                f'{_HUB}/isaaccorley/aid/resolve/e6767964e40f567a18eac6e6ca5fce397e4ce411/AID.zip',
                'sha256:79345ef1766e85f7b92cf556c809c4f32ff24228ae71aadf96780f74f48c26a4',
            ),
        ),
    ),
    'resisc45': Source(
        title='NWPU-RESISC45',
        folder='resisc45',
        licence='CC BY-NC 4.0, as it is published there; images of Google Earth; cite Cheng et al., 2017',
        by_hand=f'{_HUB}/isaaccorley/resisc45/tree/main (a zip; the authors publish a rar, at '
        'https://gcheng-nwpu.github.io/#Datasets)',
        archives=(
            Archive(
                'NWPU-RESISC45.zip',
                f'{_HUB}/isaaccorley/resisc45/resolve/883edc0eee77b2c84225472f10f126e3ed83fa6e/'
                'NWPU-RESISC45.zip',
                'sha256:beeecd0b63656290ae6d65cf7763185b0c1c4c54a753ef8088d6fba3faaf1f53',
                427_389_445,
            ),
        ),
    ),
    'loveda': Source(
        title='LoveDA',
        folder='loveDA',
        licence='CC BY-NC-SA 4.0, academic use; images of Google Earth; cite Wang et al., 2021',
        by_hand='https://zenodo.org/records/5706578',
        archives=(
            Archive(
                'Train.zip', f'{_ZENODO}/Train.zip', 'md5:de2b196043ed9b4af1690b3f9a7d558f', 4_021_669_263
            ),
            Archive('Val.zip', f'{_ZENODO}/Val.zip', 'md5:84cae2577468ff0b5386758bb386d31d', 2_425_958_254),
            Archive(
                'Test.zip', f'{_ZENODO}/Test.zip', 'md5:a489be0090465e01fb067795d24e6b47', 3_126_023_212
            ),
        ),
    ),
    'vaihingen': Source(
        title='ISPRS Vaihingen',
        folder='vaihingen_tiles',
        licence='research; the DGPF asks for its acknowledgement',
        by_hand='https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab/semantic-labeling.aspx',
    ),
    'potsdam': Source(
        title='ISPRS Potsdam',
        folder='potsdam_tiles',
        licence='research; BSF Swissphoto asks for its acknowledgement',
        by_hand='https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab/semantic-labeling.aspx',
    ),
}
