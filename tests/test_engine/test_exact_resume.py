"""A run that was cut anywhere ends with the weights of one that was not."""

import errno
import os
import random
import signal
import time

import numpy as np
import pytest
import ranks
import torch
from filelock import FileLock, Timeout
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset, Sampler

from rsmamba_mm.engine import exact_resume, safe_checkpoint
from rsmamba_mm.engine.safe_checkpoint import newest_checkpoint
from rsmamba_mm.errors import OptionError, OutputError, TrainingError

SAMPLES, BATCH, EPOCHS = 17, 3, 3  # six batches an epoch, the last one of two


class Draws(Dataset):
    """Samples that draw from every generator."""

    metainfo = dict(classes=('one',))

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        noise = [index, random.random(), np.random.rand(), torch.rand(()).item()]
        return dict(inputs=torch.tensor(noise), data_samples=index)


class Piped(Draws):
    """Draws behind a pipeline, as of OpenMMLab's data sets."""

    def __init__(self):
        self.pipeline = same

    def __getitem__(self, index):
        return self.pipeline(super().__getitem__(index))


def same(sample):
    return sample


def shifted(sample):
    return dict(sample, inputs=sample['inputs'] + 100)


class Twice(Sampler):
    """The first samples twice, the others never, as samplers may draw."""

    def __init__(self, dataset, seed):
        self.length = len(dataset)

    def __iter__(self):
        return iter(sorted([*range(self.length)] * 2)[: self.length])

    def __len__(self):
        return self.length


class Net(BaseModel):
    """A model that draws as well: dropout, an order of its tokens, mixing of the batch."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)

    def forward(self, inputs, data_samples, mode='tensor'):
        x = torch.stack(inputs) if isinstance(inputs, list) else inputs
        if mode == 'predict':
            return [self.linear(each).sum() for each in x]
        x = x[torch.randperm(len(x))] * np.random.beta(1, 1)
        x = torch.nn.functional.dropout(self.norm(self.linear(x)), 0.5)
        return dict(loss=(x - random.random()).square().mean())


class Sum(BaseMetric):
    """A metric, and validation draws from the generators too."""

    def process(self, data_batch, data_samples):
        torch.rand(1), np.random.rand(), random.random()
        self.results += [float(sample) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(sum=sum(results))


class Cut(Hook):
    """Ends the run by an error after an iteration, or in the validation after it."""

    def __init__(self, at, in_validation=False):
        self.at, self.in_validation = at, in_validation

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at and not self.in_validation:
            raise InterruptedError

    def before_val_epoch(self, runner):
        if runner.iter == self.at and self.in_validation:
            raise InterruptedError


def run(
    folder,
    *,
    dataset=Draws,
    sampler='DefaultSampler',
    workers=0,
    counts=1,
    checkpoint=None,
    hooks=(),
    resume=False,
    seed=0,
    launcher='none',
):
    """Train, and the runner."""

    def loader(**options):
        return dict(dataset=dict(type=dataset), batch_size=BATCH, num_workers=workers, **options)

    random.seed(), np.random.seed(), torch.seed()  # whatever the process drew before
    runner = Runner(
        model=dict(type=Net),
        work_dir=str(folder),
        train_dataloader=loader(sampler=dict(type=sampler)),
        train_cfg=dict(type='rsmamba_mm.ExactTrainLoop', max_epochs=EPOCHS, val_interval=2),
        val_dataloader=loader(sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=dict(type=Sum),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=counts),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
        default_hooks=dict(
            checkpoint=dict(
                type='rsmamba_mm.SafeCheckpointHook',
                **(checkpoint or dict(by_epoch=False, interval=1)),
                save_best='sum',
                rule='greater',
            )
        ),
        custom_hooks=[dict(type='EMAHook'), dict(type='SyncBuffersHook'), *hooks],
        randomness=dict(seed=seed),
        resume=resume,
        launcher=launcher,
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)),
        log_level='ERROR',
        experiment_name=f'{folder.name}{torch.rand(()).item()}',
    )
    runner.train()
    return runner


def weights(runner):
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    model = getattr(runner.model, 'module', runner.model)
    tensors = {**model.state_dict(), **{f'ema.{k}': v for k, v in ema.state_dict().items()}}
    moments = runner.optim_wrapper.optimizer.state_dict()['state']
    return {**tensors, **{f'{i}.{k}': v for i, state in moments.items() for k, v in state.items()}}


def assert_same(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize(
    ('cut', 'options'),
    [
        (Cut(8), {}),
        (Cut(6), {}),  # the last batch of an epoch
        (Cut(9), dict(checkpoint=dict(interval=1, max_keep_ckpts=1))),  # goes on from the end of an epoch
        (Cut(12, in_validation=True), dict(checkpoint=dict(interval=1, max_keep_ckpts=1))),
        (Cut(9), dict(counts=4, checkpoint=dict(interval=1))),  # six batches are one update and a half
        (Cut(5), dict(workers=2)),
        (Cut(7), dict(sampler=Twice)),  # between a sample and its second time
    ],
)
def test_a_run_that_was_cut_ends_with_the_same_weights(cut, options, tmp_path):
    whole = run(tmp_path / 'whole', **options)
    with pytest.raises(InterruptedError):
        run(tmp_path / 'cut', **options, hooks=[cut])
    resumed = run(tmp_path / 'cut', **options, resume=True)
    assert resumed.iter == whole.iter == 18
    assert_same(resumed, whole)
    best = 'best_score'
    assert resumed.message_hub.get_info(best) == whole.message_hub.get_info(best)


@pytest.mark.parametrize('workers', [0, 2])
def test_hooks_switch_the_pipeline(workers, tmp_path):
    """As mmpretrain's does, in a run that was cut too."""
    hooks = pytest.importorskip('mmpretrain.engine.hooks')
    first = []

    class Record(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            first.append(data_batch['inputs'][0][0].item() >= 100)

    def switch():
        return hooks.SwitchRecipeHook([dict(action_epoch=2, train_pipeline=[shifted])])

    options = dict(dataset=Piped, workers=workers)
    whole = run(tmp_path / 'whole', **options, hooks=[switch(), Record()])
    assert first == [False] * 6 + [True] * 12
    with pytest.raises(InterruptedError):
        run(tmp_path / 'cut', **options, hooks=[switch(), Cut(14)])
    assert_same(run(tmp_path / 'cut', **options, hooks=[switch()], resume=True), whole)


@ranks.needs_fork
def test_two_ranks_draw_differently_and_end_with_the_same_weights(tmp_path):
    options = dict(launcher='pytorch', counts=4, checkpoint=dict(by_epoch=False, interval=1))  # mid-update

    def whole(rank):
        drawn = []

        class Record(Hook):
            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                drawn.extend(x.tolist() for x in data_batch['inputs'])

        return weights(run(tmp_path / 'whole', **options, hooks=[Record()])), drawn

    def cut_and_resumed(rank):
        with pytest.raises(InterruptedError):
            run(tmp_path / 'cut', **options, hooks=[Cut(5)])
        return weights(run(tmp_path / 'cut', **options, resume=True))

    (first, mine), (second, others) = ranks.call(whole, tmp_path)
    assert len(mine) == len(others) == EPOCHS * 9
    assert len({x[1] for x in mine} & {x[1] for x in others}) == EPOCHS  # the sample that makes 18 of 17
    for whole, found in zip((first, second), ranks.call(cut_and_resumed, tmp_path), strict=True):
        assert [name for name in whole if not torch.equal(whole[name], found[name])] == []
    # what each has seen last is in the average alone
    assert {name for name in first if not torch.equal(first[name], second[name])} <= {
        f'ema.module.norm.running_{part}' for part in ('mean', 'var')
    }


@pytest.mark.slow
@pytest.mark.reliability
@ranks.needs_fork
def test_two_ranks_killed_at_random_moments(tally, tmp_path):
    if not (wanted := tally.times(0, 10, 50)):
        pytest.skip('one cut of two ranks is tried above; kills by make reliability')
    options = dict(launcher='pytorch', checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=1))

    def train(name):
        return lambda rank: weights(run(tmp_path / name, **options, resume=True))

    start = time.perf_counter()
    whole = ranks.call(train('whole'), tmp_path / 'ranks')[0]
    seconds, draw, kills, rounds = time.perf_counter() - start, random.Random(1), 0, 0
    while kills < wanted:
        rounds += 1
        while ranks.killed(train(str(rounds)), tmp_path / 'ranks', draw.uniform(0, 1.2 * seconds)):
            kills += 1
        found = torch.load(tmp_path / 'ranks/0.pt')
        assert [name for name in whole if not torch.equal(found[name], whole[name])] == []
    tally.record(
        'Kills',
        'SIGKILL of two processes of one job at random moments, resumed',
        kills,
        f'{rounds} of {rounds} runs end with the weights of one that was not cut, to the bit',
    )


def in_process(folder, seconds=None, **options):
    """Train in a process of its own, killed after some seconds; the weights, or None if it was killed."""
    out = folder.with_suffix('.pt')
    child = os.fork()  # it has all imported already
    if child == 0:
        torch.save(weights(run(folder, **options)), out)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status == signal.SIGKILL:
        return None
    assert status == 0, status
    return torch.load(out)


@pytest.mark.slow
@pytest.mark.reliability
@ranks.needs_fork
@pytest.mark.parametrize('every', ['iteration', 'epoch'])
def test_killed_at_random_moments(every, tally, tmp_path):
    checkpoint = dict(by_epoch=every == 'epoch', interval=1, max_keep_ckpts=1)
    start = time.perf_counter()
    whole = in_process(tmp_path / 'whole', checkpoint=checkpoint)
    seconds, draw, kills, rounds = time.perf_counter() - start, random.Random(0), 0, 0
    while kills < tally.times(1, 25, 100):
        found, rounds = None, rounds + 1
        while found is None:
            moment = draw.uniform(0, 1.2 * seconds)
            found = in_process(tmp_path / str(rounds), moment, checkpoint=checkpoint, resume=True)
            kills += found is None
        assert [name for name in whole if not torch.equal(found[name], whole[name])] == []
    tally.record(
        'Kills',
        f'SIGKILL at random moments, a checkpoint every {every}, resumed',
        kills,
        f'{rounds} of {rounds} runs end with the weights of one that was not cut, to the bit',
    )


def test_samples_do_not_depend_on_workers_but_on_seed_and_epoch(tmp_path):
    first = run(tmp_path / 'first')
    assert_same(first, run(tmp_path / 'second', workers=2))
    other = run(tmp_path / 'other', seed=1)
    assert not torch.equal(first.model.linear.weight, other.model.linear.weight)
    drawn = []
    for epoch in (0, 1):
        loop = first.train_loop
        loop.sampler.epoch, loop.sampler.done = epoch, 0
        index = next(iter(loop.sampler))
        drawn.append((int(index), loop.dataloader.dataset[index]['inputs'][1].item()))
    assert drawn[0][0] == drawn[1][0] and drawn[0][1] != drawn[1][1]


def test_a_sample_that_comes_twice_in_an_epoch_draws_anew(tmp_path):
    loop = run(tmp_path / 'run', sampler=Twice).train_loop
    loop.sampler.epoch = loop.sampler.done = 0
    first, second = (loop.dataloader.dataset[index]['inputs'] for index in list(loop.sampler)[:2])
    assert first[0] == second[0] == 0
    assert (first[1:] != second[1:]).all()


def test_a_torn_checkpoint_is_named_and_the_one_before_it_used(tmp_path):
    whole = run(tmp_path / 'whole')
    with pytest.raises(InterruptedError):
        run(tmp_path / 'cut', hooks=[Cut(9)])
    newest, before = tmp_path / 'cut/iter_8.pth', tmp_path / 'cut/iter_7.pth'
    content = bytearray(newest.read_bytes())
    middle = content.find(b'optimizer') or len(content) // 2
    content[middle] ^= 1
    newest.write_bytes(content)
    (tmp_path / 'cut/iter_9.pth').write_bytes(before.read_bytes()[:-100])
    said = []
    assert newest_checkpoint(tmp_path / 'cut', said.append) == str(before)
    assert 'iter_9.pth is passed over, it is torn' in said[0]
    assert 'iter_8.pth is passed over, the checksum of its part' in said[1]
    assert_same(run(tmp_path / 'cut', resume=True), whole)


def test_a_clock_that_jumps(tmp_path):
    with pytest.raises(InterruptedError):
        run(tmp_path, hooks=[Cut(9)])
    newest = tmp_path / 'iter_8.pth'
    os.utime(newest, (0, 0))
    assert newest_checkpoint(tmp_path) == str(newest)
    # killed between a checkpoint and the note of it
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_7.pth'))
    os.utime(newest)
    assert newest_checkpoint(tmp_path) == str(newest)
    # begun anew where a longer run was
    (tmp_path / 'iter_20.pth').write_bytes(newest.read_bytes())
    os.utime(tmp_path / 'iter_20.pth', (0, 0))
    assert newest_checkpoint(tmp_path) == str(newest)


@pytest.mark.parametrize('kind', ['passes', 'stays', 'other'])
def test_a_file_that_cannot_be_read_is_read_again(kind, monkeypatch):
    monkeypatch.setattr(exact_resume, 'PAUSES', (0.01, 0.01))
    tries = []

    class Disk(Draws):
        def get_data_info(self, index):
            return dict(img_path=f'disk/{index}.png')

        def __getitem__(self, index):
            tries.append(random.random())
            if kind == 'other':
                raise PermissionError(errno.EACCES, 'Permission denied')
            if kind == 'stays' or len(tries) < 3:
                raise OSError(errno.EIO, 'Input/output error')
            return super().__getitem__(index)

    samples = exact_resume.SeededDataset(Disk(), seed=3)
    if kind == 'other':
        with pytest.raises(PermissionError):
            samples[5]
        assert len(tries) == 1
        return
    with pytest.warns(UserWarning, match=r'disk/5.png: .*Input/output error; read again in 0.01 s'):
        if kind == 'passes':
            samples[5]
            assert tries[0] == tries[1] == tries[2]  # with the same draws
        else:
            with pytest.raises(TrainingError, match=r'5.png: .*also 0.02 s later: see to the disk'):
                samples[5]
    assert len(tries) == 3


def test_nothing_whole_and_nothing_at_all(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    with pytest.raises(OptionError, match=r'no checkpoint in .* is whole.*begin anew without --resume'):
        newest_checkpoint(tmp_path, lambda text: None)


@ranks.needs_fork
def test_two_runs_in_one_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_checkpoint, 'WORKERS_END', 0.1)
    ends = []

    class Second(Hook):
        def after_run(self, runner):
            child = os.fork()
            if child:
                ends.append(os.waitpid(child, 0)[1])
                return
            try:
                with FileLock(tmp_path / '.lock', timeout=0.1):
                    os._exit(1)
            except Timeout:
                os._exit(0)

    run(tmp_path, hooks=[Second()])
    assert ends == [0]
    refused = pytest.raises(OptionError, match=r'another process trains in .*give another --work-dir')
    with FileLock(tmp_path / '.lock'), refused:
        run(tmp_path)
    run(tmp_path)


def test_one_checkpoint_is_always_there(tmp_path, monkeypatch):
    """A full disk, as the only one that is kept makes way for the next."""
    options = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
    with pytest.raises(InterruptedError):
        run(tmp_path, **options, hooks=[Cut(9)])
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']

    def full(handle):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(safe_checkpoint.os, 'fsync', full)
    with pytest.raises(OutputError, match=r'epoch_2.pth could not be written \(No space left.*--resume'):
        run(tmp_path, **options, resume=True)
    assert {path.name for path in tmp_path.iterdir() if 'epoch' in path.name} == {'epoch_1.pth'}
    monkeypatch.undo()
    assert_same(run(tmp_path, **options, resume=True), run(tmp_path / 'whole', **options))
