"""What every registered model must do, tested once for all of them.

The test class of a model derives from ``ModelTester`` and says how the smallest one is configured, what
goes in, which shapes come out and which options are refused::

    class TestNet(ModelTester):
        config = dict(type='Net', depth=2)
        refusals = [(dict(depth=0), ValueError, 'depth must be at least 1, got 0')]

        def shapes(self, batch, size):
            return [(batch, 32, *strided(size, 8))]
"""

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

# the smallest ResT with all its parts
REST = dict(
    type='ResT',
    arch=dict(
        embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1)
    ),
)


def strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """The size of a map, rounded up."""
    return tuple(-(-side // stride) for side in size)


def maps(batch: int, size: tuple[int, int], channels: tuple, strides: tuple) -> list[Tensor]:
    """Random maps, as those of a backbone or a neck."""
    return [torch.randn(batch, c, *strided(size, s)) for c, s in zip(channels, strides, strict=True)]


def each(x: Tensor | list[Tensor], function) -> Tensor | list[Tensor]:
    """The function of the images, or of each of the maps."""
    return function(x) if isinstance(x, Tensor) else [function(part) for part in x]


class ModelTester:
    """The tests of a model."""

    config: dict  # of the smallest one, as a config file has it
    sizes = [(64, 64), (33, 50)]  # of images; the first is that of the tests with one size
    refusals: list[tuple[dict, type, str]] = []  # options, the error and its message
    half_dtypes = [torch.bfloat16, torch.float16]
    half_error = 0.05  # of the outputs in half precision, beside their norm

    def inputs(self, batch: int, size: tuple[int, int]) -> Tensor | list[Tensor]:
        """What the model is called with: images, unless it says otherwise."""
        return torch.randn(batch, 3, *size)

    def shapes(self, batch: int, size: tuple[int, int]) -> list[tuple]:
        """Of the outputs."""
        raise NotImplementedError

    def build(self, seed: int = 0, **options) -> nn.Module:
        """A model as MMEngine's runner builds it."""
        torch.manual_seed(seed)
        model = MODELS.build(dict(self.config, **options))
        model.init_weights()
        return model

    def outputs(self, model: nn.Module, x: Tensor | list[Tensor]) -> list[Tensor]:
        """With the same random numbers at each call."""
        torch.manual_seed(0)
        y = model(x)
        return [y] if isinstance(y, Tensor) else list(y)

    def results(self, model: nn.Module, x: Tensor | list[Tensor]) -> dict[str, Tensor]:
        """Outputs and the gradients of all parameters."""
        model.zero_grad()
        ys = self.outputs(model, x)
        torch.autograd.backward(ys, [torch.randn(y.shape, dtype=y.dtype) for y in ys])
        gradients = {name: p.grad for name, p in model.named_parameters()}
        without = [name for name, grad in gradients.items() if grad is None]
        assert not without, f'parameters without a gradient: {without}'
        return {f'output {i}': y.detach() for i, y in enumerate(ys)} | gradients

    def pytest_generate_tests(self, metafunc) -> None:
        for name, values in (('size', self.sizes), ('half', self.half_dtypes)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=str)
        if 'refusal' in metafunc.fixturenames:
            metafunc.parametrize('refusal', self.refusals, ids=lambda refusal: refusal[2][:40])

    def test_shapes(self, size):
        model = self.build().eval()
        with torch.no_grad():
            ys = self.outputs(model, self.inputs(2, size))
        assert [tuple(y.shape) for y in ys] == [tuple(shape) for shape in self.shapes(2, size)]
        assert all(y.isfinite().all() for y in ys)

    def test_full_name_needs_no_custom_import(self):
        model = self.build(type=f'rsmamba_mm.{self.config["type"]}')
        assert type(model).__name__ == self.config['type']

    def test_one_image_is_the_same_alone(self):
        model = self.build().double().eval()
        x = each(self.inputs(2, self.sizes[0]), Tensor.double)
        with torch.no_grad():
            together, alone = self.outputs(model, x), self.outputs(model, each(x, lambda part: part[:1]))
        torch.testing.assert_close(alone, [y[:1] for y in together])

    def test_a_training_step_of_one_image(self):
        results = self.results(self.build().train(), self.inputs(1, self.sizes[-1]))
        assert not [name for name, value in results.items() if not value.isfinite().all()]

    def test_saves_and_loads(self, tmp_path):
        model, x = self.build().eval(), self.inputs(1, self.sizes[0])
        torch.save(model.state_dict(), tmp_path / 'model.pth')
        other = self.build(seed=1).eval()
        other.load_state_dict(torch.load(tmp_path / 'model.pth', weights_only=True))
        with torch.no_grad():
            ours, theirs = self.outputs(model, x), self.outputs(other, x)
        for y, again in zip(ours, theirs, strict=True):
            assert torch.equal(y, again)

    def test_half_precision(self, half):
        model, x = self.build().train(), self.inputs(2, self.sizes[0])
        exact = self.outputs(model, x)
        with torch.autocast('cpu', dtype=half):
            results = self.results(model, x)
        assert not [name for name, value in results.items() if not value.isfinite().all()]
        for i, y in enumerate(exact):
            assert (results[f'output {i}'].float() - y).norm() <= self.half_error * y.norm()

    def test_channels_last(self):
        model, x = self.build().double().train(), each(self.inputs(2, self.sizes[0]), Tensor.double)
        expected = {name: value.clone() for name, value in self.results(model, x).items()}
        model.to(memory_format=torch.channels_last)
        last = each(x, lambda part: part.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(self.results(model, last), expected, check_stride=False)

    @pytest.mark.slow
    def test_compiles_without_a_graph_break(self):
        model, x = self.build().double().train(), each(self.inputs(2, self.sizes[0]), Tensor.double)
        expected = {name: value.clone() for name, value in self.results(model, x).items()}
        torch._dynamo.reset()
        compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
        results = self.results(compiled, x)
        torch.testing.assert_close(list(results.values()), list(expected.values()))

    def test_refuses(self, refusal):
        options, error, message = refusal
        with pytest.raises(error, match=message):
            self.build(**options)
