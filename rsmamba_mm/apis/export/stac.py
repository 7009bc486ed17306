"""A model as an item of a STAC catalogue: Machine Learning Model extension (MLM) 1.6."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import MissingExtraError, OutputError
from .formats import Description, Format, library, run_torch

ARCHIVE = 'application/octet-stream; application=pytorch'


def _write(program: Any, out: Path, about: Description) -> None:
    """The item, and the PT2 archive beside it that it points to."""
    pystac, properties = library('pystac'), _properties(about)
    archive = out.with_suffix('.pt2')
    described = json.loads(properties.model_dump_json(by_alias=False))
    # where stac-model's own archives keep it; JSON is YAML
    torch.export.save(program, archive, extra_files={'mlm-metadata': json.dumps(described)})
    item = pystac.Item(
        id=out.stem,
        geometry=None,  # of the ground where it holds, which is not known
        bbox=None,
        datetime=datetime.now(timezone.utc),
        properties={'description': f'{properties.name}: takes {_dimensions(about)}'},
    )
    item.add_asset(
        'model',
        pystac.Asset(
            href=f'./{archive.name}',
            title='Graph and weights',
            media_type=ARCHIVE,
            roles=['mlm:model', 'mlm:weights', 'data'],
            extra_fields={
                'mlm:artifact_type': 'torch.export.save',
                'file:size': archive.stat().st_size,
            },
        ),
    )
    if about.bands:  # MLM looks for them in the item, where STAC has them only beside those of an asset
        for fields in (item.properties, item.assets['model'].extra_fields):
            fields['bands'] = [{'name': name} for name in about.bands]
    schema = library('stac_model.schema')
    schema.MLModelExtension.ext(item, add_if_missing=True).apply(properties)
    item.stac_extensions += [
        'https://stac-extensions.github.io/file/v2.1.0/schema.json',
        'https://stac-extensions.github.io/classification/v1.1.0/schema.json',
    ]
    out.write_text(json.dumps(item.to_dict(include_self_link=False), indent=2) + '\n', encoding='utf-8')


def _dimensions(about: Description) -> str:
    batch, *sides = ('any' if n < 0 else str(n) for n in about.input_shape)
    values = 'values from 0 to 255' if about.graph.normalize else 'normalised values'
    return f'{values}, {batch} batch of {" x ".join(sides)}'


def _properties(about: Description) -> Any:
    """What MLM says of a model, checked by stac-model."""
    try:
        schema, taken, given = (library(f'stac_model.{name}') for name in ('schema', 'input', 'output'))
    except MissingExtraError as error:
        raise MissingExtraError(f'{error}; stac-model needs Python 3.11 or later') from error
    graph = about.graph
    parts = (getattr(graph.model, name, None) for name in ('backbone', 'neck', 'decode_head'))
    architecture = '-'.join(type(part).__name__ for part in parts if part is not None)
    segments = len(about.output_shape) == 4
    task = 'semantic-segmentation' if segments else 'scene-classification'
    source = taken.ModelInput(
        name='image',
        bands=list(about.bands),
        input=taken.InputStructure(
            shape=list(about.input_shape),
            dim_order=['batch', 'bands' if about.bands else 'channel', 'height', 'width'],
            data_type='float32',
        ),
        value_scaling=None if graph.normalize else _scaling(graph),
    )
    result = given.ModelOutput(
        name='probabilities' if graph.softmax else 'logits',
        tasks={task},
        result=given.ModelResult(
            shape=list(about.output_shape),
            dim_order=['batch', 'class', 'height', 'width'][: len(about.output_shape)],
            data_type='float32',
        ),
        classes=[
            given.MLMClassification(value=value, name=_name(name), description=name)
            for value, name in enumerate(about.classes)
        ],
    )
    return schema.MLModelProperties(
        name=f'{architecture} {task}',
        architecture=architecture,
        tasks={task},
        framework='PyTorch',
        framework_version=torch.__version__,
        total_parameters=sum(
            weight.numel()
            for name, weight in graph.model.named_parameters()
            if not name.startswith('auxiliary_head.')
        ),
        input=[source],
        output=[result],
    )


def _scaling(graph: Any) -> list[dict[str, Any]] | None:
    """By which pixels from 0 to 255 become what the graph takes, channel by channel."""
    if not hasattr(graph, 'mean'):
        return None
    pairs = zip(graph.mean.flatten().tolist(), graph.std.flatten().tolist(), strict=True)
    return [dict(type='z-score', mean=mean, stddev=std) for mean, std in pairs]


def _name(text: str) -> str:
    """As the classification extension allows names."""
    return re.sub(r'[^0-9A-Za-z_-]+', '_', text)


def _load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The graph that an item points to."""
    assets = json.loads(path.read_text(encoding='utf-8'))['assets'].values()
    models = [asset['href'] for asset in assets if 'mlm:model' in asset['roles']]
    if len(models) != 1:
        raise OutputError(f'{path}: points to {len(models)} models, one is wanted')
    return run_torch(path.parent / models[0])


STAC = Format('.json', 'torch.export', _write, _load, ('normalize', 'softmax', 'any_size', 'bands'))
