#!/usr/bin/env python3
"""What Triton makes of the kernels for a GPU that need not be there: registers, spills, width of loads.

Each kernel is compiled for the architecture with the arguments of RSMamba-Base's mixer (384 channels, 16
states, step sizes of rank 12, half precision in and out) and given to the ptxas that Triton brings.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rsmamba_mm.ops.backends.triton import conv, paths, scan, tile
from rsmamba_mm.ops.backends.triton import launch as backend

SCAN = dict(
    ORDERED=True, ONE_U=False, SKIP=True, BIAS=True, LOW_RANK=True, SOFTPLUS=True, CHUNK=backend.CHUNK,
    TILE=backend.TILE, BLOCK=backend.BLOCK, DTYPE=tl.float32,
)  # fmt: skip
BACKWARD = SCAN | backend.BACKWARD
PATCH = dict(DTYPE=tl.float32, **backend.PATCH)
CONV = dict(TAPS=4, **PATCH)
# kernel, its constants, warps
CASES = {
    'scan_forward': (scan.scan_forward, dict(SCAN, OUTPUT=True, KEEP=True), 1),
    'scan_forward, no states kept': (scan.scan_forward, dict(SCAN, OUTPUT=True, KEEP=False), 1),
    'scan_forward, end state alone': (scan.scan_forward, dict(SCAN, OUTPUT=False, KEEP=False), 1),
    'scan_forward, full step sizes': (
        scan.scan_forward,
        dict(SCAN, OUTPUT=True, KEEP=True, LOW_RANK=False),
        1,
    ),
    'scan_adjoint': (scan.scan_adjoint, SCAN, 1),
    'scan_combine': (scan.scan_combine, dict(REVERSE=False, TILE=backend.TILE, BLOCK=backend.BLOCK), 1),
    'scan_backward': (scan.scan_backward, BACKWARD, 1),
    'scan_backward, full step sizes': (scan.scan_backward, dict(BACKWARD, LOW_RANK=False), 1),
    'conv_forward': (conv.conv_forward, dict(CONV, BIAS=True, SILU=True), 4),
    'conv_backward_pre': (conv.conv_backward_pre, dict(CONV, BIAS=True, SILU=True), 4),
    'conv_backward_x': (conv.conv_backward_x, CONV, 4),
    'pool_forward': (paths.pool_forward, PATCH, 4),
    'pool_backward': (paths.pool_backward, PATCH, 4),
    'merge_forward': (paths.merge_forward, PATCH, 4),
    'merge_backward': (paths.merge_backward, PATCH, 4),
}
HALF = {'u', 'delta', 'B', 'C', 'x', 'y', 'z', 'out'}
HALF |= {f'grad_{name}' for name in ('y', 'u', 'delta', 'pre', 'x', 'z')}
INTEGERS = {*tile.RUNTIME, 'paths', 'E', 'N', 'rank', 'row'}
# in RSMamba-Base rows of the projection are 44 long, no multiple of 16
ALIGNED = {'E', 'N', 'row', 'A_path', 'D_path', 'bias_path', 'weight_path'}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--arch', type=int, default=90, help='compute capability times ten')
    parser.add_argument('--ptx', type=Path, metavar='FOLDER', help='leave the PTX there')
    parser.add_argument('--kernels', nargs='+', default=list(CASES), choices=CASES, help='default: all')
    args = parser.parse_args()
    print(f'Triton {triton.__version__}, sm_{args.arch}, float16 in and out, float32 inside')
    print(
        f'a warp of the scan: {backend.BLOCK} channels, {backend.TILE} steps at once, in the backward '
        f'{BACKWARD["TILE"]}; nothing here was run or timed'
    )
    print(
        f'{"kernel":32s}{"registers":>10s}{"spilled":>9s}{"shared":>8s}{"shuffles":>9s}{"barriers":>9s}'
        '  global loads, stores by bits of a thread'
    )
    for name in args.kernels:
        kernel, constants, warps = CASES[name]
        ptx, shared, resources = compile_for(kernel, constants, warps, args.arch)
        print(
            f'{name:32s}{resources["registers"]:10d}{resources["spilled"]:9d}{shared:8d}'
            f'{ptx.count("shfl.sync"):9d}{len(re.findall(r"bar(rier)?.sync", ptx)):9d}'
            f'  {widths(ptx, "ld")}; {widths(ptx, "st")}'
        )
        if args.ptx:
            args.ptx.mkdir(parents=True, exist_ok=True)
            (args.ptx / f'{name.replace(", ", "-").replace(" ", "_")}.ptx').write_text(ptx)


def compile_for(kernel, constants: dict, warps: int, arch: int) -> tuple[str, int, dict]:
    """PTX, bytes of shared memory, and what ptxas says of registers."""
    signature, hints = {}, {}
    limit = constants.get('maxnreg')
    constants = {name: value for name, value in constants.items() if name != 'maxnreg'}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = 'constexpr'
        elif name in INTEGERS or name.endswith(('_row', '_path')):
            signature[name] = 'i32'
            if name in ALIGNED:
                hints[place,] = [['tt.divisibility', 16]]
        else:
            integer = name in ('orders', 'inverse')
            signature[name] = '*i64' if integer else '*fp16' if name in HALF else '*fp32'
            hints[place,] = [['tt.divisibility', 16]]
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places, attrs=hints)
    options = dict(num_warps=warps, enable_fp_fusion=True, maxnreg=limit)
    compiled = triton.compile(source, target=GPUTarget('cuda', arch, 32), options=options)
    return compiled.asm['ptx'], compiled.metadata.shared, assemble(compiled.asm['ptx'])


def assemble(ptx: str) -> dict:
    target = re.search(r'\.target (\S+)', ptx)[1].rstrip(',')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'kernel.ptx'
        file.write_text(ptx)
        ptxas = triton.knobs.nvidia.ptxas.path
        command = [ptxas, '-v', f'--gpu-name={target}', str(file), '-o', str(file.with_suffix('.cubin'))]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return dict(
        registers=int(re.search(r'Used (\d+) registers', said)[1]),
        spilled=sum(map(int, re.findall(r'(\d+) bytes spill', said))),
    )


def widths(ptx: str, operation: str) -> str:
    """How many global accesses there are of each width."""
    pattern = rf'\b{operation}\.global\S*?(?:\.v(\d))?\.[bfsu](\d+)'
    found = Counter(int(vector or 1) * int(bits) for vector, bits in re.findall(pattern, ptx))
    return ' '.join(f'{count}×{bits}' for bits, count in sorted(found.items())) or '-'


if __name__ == '__main__':
    main()
