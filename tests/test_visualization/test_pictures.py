import csv
import json

import cv2
import numpy as np
import pytest

from rsmamba_mm.visualization import (
    SegmentedImage,
    plot_learning_curve,
    plot_overlays,
    write_land_cover_table,
)


def test_overlays(tmp_path):
    image = np.full((40, 60, 3), 200, np.uint8)
    truth = np.zeros((40, 60), np.int64)
    truth[:10] = 255  # ignored
    prediction = np.ones((40, 60), np.int64)
    rows = [SegmentedImage(image, truth, prediction, f'{i}.png') for i in range(2)]
    rows.append(SegmentedImage(image[..., :1], truth, prediction, 'one band'))
    out = plot_overlays(rows, ['grass', 'road'], [[0, 255, 0], [0, 0, 255]], tmp_path / 'new' / 'a.png')
    picture = cv2.imread(str(out))[..., ::-1].reshape(-1, 3).astype(int)
    assert picture.shape[0] > 600 * 400

    def share(*colour):
        return (abs(picture - colour) <= 3).all(1).mean()

    assert share(80, 233, 80) > 0.02  # truth over the image
    assert share(80, 80, 233) > 0.02  # prediction over the image
    assert share(178, 58, 58) > 0.02  # all valid pixels are wrong


def test_table(tmp_path):
    metrics = {'IoU.grass': 50.0, 'Fscore.grass': 66.67, 'IoU.road': 10.0, 'Fscore.road': 18.18}
    out = write_land_cover_table(
        {**metrics, 'mIoU': 50.0, 'mFscore': 66.67}, ['grass', 'road'], tmp_path / 'classes.csv'
    )
    rows = list(csv.DictReader(out.open()))
    assert rows[1] == dict(zip(('class', 'iou', 'f1'), ('road', '10.0', '18.18'), strict=True))
    assert rows[2]['class'] == 'mean' and rows[2]['iou'] == '50.0'


@pytest.mark.parametrize('epochs', [True, False])
@pytest.mark.parametrize('score', [None, 'mIoU', 'accuracy/top1'])
def test_learning_curve(tmp_path, epochs, score):
    records = [
        dict(loss=1 / i, iter=i, **(dict(epoch=(i + 4) // 5) if epochs else {})) for i in range(1, 11)
    ]
    if score:
        records += [{score: 20.0 * step, 'step': step} for step in ((1, 2) if epochs else (5, 10))]
    scalars = tmp_path / 'scalars.json'
    scalars.write_text(''.join(json.dumps(record) + '\n' for record in records))
    height, width, _ = cv2.imread(str(plot_learning_curve(scalars, tmp_path / 'a.png'))).shape
    assert height > 300 and width > 600


def test_no_curve(tmp_path):
    (tmp_path / 'scalars.json').write_text('')
    with pytest.raises(ValueError, match='the run ended before its first log'):
        plot_learning_curve(tmp_path / 'scalars.json', tmp_path / 'a.png')
