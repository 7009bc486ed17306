"""Options of a Mamba mixer as the released configs name them: those of transformers' MambaConfig."""

from __future__ import annotations

from collections.abc import Mapping

# its name -> the argument of MultiPathMamba
NAMES = {
    'intermediate_size': 'd_inner',
    'state_size': 'd_state',
    'conv_kernel': 'd_conv',
    'time_step_rank': 'dt_rank',
    'time_step_min': 'dt_min',
    'time_step_max': 'dt_max',
    'time_step_floor': 'dt_init_floor',
    'use_conv_bias': 'conv_bias',
    'use_bias': 'bias',
}
# what the mixer does without -> the values that say what is so anyway, and what that is
WITHOUT_EFFECT = {
    'hidden_act': (('silu', 'swish'), 'the mixer has SiLU'),
    'time_step_scale': ((1,), 'steps are drawn without a scale'),
    'time_step_init_scheme': (('random',), 'dt_proj starts uniform at random'),
    'rescale_prenorm_residual': ((False,), 'out_proj is not rescaled'),
    'residual_in_fp32': ((True, False), 'the residual has the type of the tokens'),
    'use_cache': ((True, False), 'there is no cache'),
    'use_mambapy': ((True, False), 'the backend of the scan is chosen by rsmamba_mm.ops'),
    'use_associative_scan': ((True, False), 'the backend of the scan is chosen by rsmamba_mm.ops'),
}


def mixer_options(options: Mapping, embed_dims: int, owner: str = 'RSMamba') -> dict:
    """Options of a mixer by the names of :class:`rsmamba_mm.layers.MultiPathMamba`.

    Args:
        options (Mapping): By those names or by MambaConfig's.
        embed_dims (int): Channels of the tokens, which ``hidden_size`` may repeat.
        owner (str): What the messages call the model. Defaults to ``'RSMamba'``.

    Returns:
        dict: Without those that have no effect.

    Raises:
        ValueError: If one that has no effect asks for something else than what is so.
        TypeError: If an option is unknown.
    """
    idle = {**WITHOUT_EFFECT, 'hidden_size': ((embed_dims,), "it is the arch's embed_dims")}
    known = [*NAMES, *NAMES.values(), 'scan', 'weight_sets']
    named = {}
    for key, value in options.items():
        if key in known:
            named[NAMES.get(key, key)] = value
        elif key not in idle:
            raise TypeError(
                f'{owner}: unknown option {key!r} in layer_cfgs. Known options: '
                f'{", ".join([*known, *idle])}.'
            )
        elif value not in idle[key][0]:
            accepted, reason = idle[key]
            raise ValueError(
                f'{owner}: layer_cfgs has {key}={value!r}, but {reason}: leave it out, or give '
                f'{" or ".join(map(repr, accepted))}'
            )
    return named
