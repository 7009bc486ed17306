"""What a run prints, and what it leaves to its log file."""

from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from rsmamba_mm.apis.runner import build_runner


@MODELS.register_module()
class SilentModel(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs


def test_what_is_long_is_in_the_log_file_alone(tmp_path, capfd):
    runner = build_runner(Config(dict(model=dict(type='SilentModel'), work_dir=str(tmp_path))), splits=())
    runner.logger.info('paramwise_options -- backbone.D:lr=0.002')
    runner.logger.info('Epoch(train) [1][2/2] loss: 0.5')
    runner.logger.warning('something is odd')
    printed = ''.join(capfd.readouterr())
    log = Path(runner.log_dir) / f'{runner.timestamp}.log'
    written = log.read_text(encoding='utf-8')
    for text in ('System environment:', 'Config:', 'Hooks will be executed', 'paramwise_options'):
        assert text in written and text not in printed
    for text in ('loss: 0.5', 'something is odd', f'options of the parameters: {log}'):
        assert text in written and text in printed
