#!/usr/bin/env python3
"""What Triton makes of the kernels for a GPU that need not be there: instructions, registers, spills.

Each kernel is compiled for each architecture with the arguments of RSMamba-Base's mixer (384 channels, 16
states, step sizes of rank 12, half precision in and out), and the machine code is read. Nothing is run.
Of a scan the instructions of its loops are counted as often as the loops turn: the exponentials in a loop
over states and the multiply-adds in a loop over ranks say how many turns a tile takes.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rsmamba_mm.command_line import Parser
from rsmamba_mm.ops.backends.triton import conv, paths, scan, tile
from rsmamba_mm.ops.backends.triton import launch as backend

STATES, RANK = 16, 12
SCAN = dict(
    ORDERED=True, ONE_U=False, SKIP=True, BIAS=True, LOW_RANK=True, SOFTPLUS=True, CHUNK=backend.CHUNK,
    TILE=backend.TILE, BLOCK=backend.BLOCK, STATES=2, RANKS=4, PACKED=True, DTYPE=tl.float32,
    maxnreg=backend.SCAN['maxnreg'],
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
TOOLS = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin'

# multiprocessors of A100, H100 and H200, B200, KiB of shared memory of each; of others nothing is derived
DEVICES = {80: (108, 164), 90: (132, 228), 100: (148, 228)}
REGISTERS, WARPS, PROGRAMS = 65536, 64, 32  # of a multiprocessor, on all of these
CLOCK = 1.83e9  # of an H200 in docs/benchmarks
BOUND = (192, 384, 784)  # the scan of which a bound is printed: sequences, channels, steps


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--arch', type=int, nargs='+', default=[90], help='compute capability times ten')
    parser.add_argument('--ptx', type=Path, metavar='FOLDER', help='leave the PTX there, and the SASS')
    parser.add_argument('--kernels', nargs='+', default=list(CASES), choices=CASES, help='default: all')
    args = parser.parse_args()
    for arch in args.arch:
        print(f'Triton {triton.__version__}, sm_{arch}, float16 in and out, float32 inside')
        print(
            f'a warp of the scan: {backend.BLOCK} channels, {SCAN["TILE"]} steps at once, in the backward '
            f'{BACKWARD["TILE"]}, {SCAN["CHUNK"]} in a chunk; nothing here was run or timed'
        )
        print(
            f'{"":32s}{"":34s}{"of a warp, per step and state":>37s}\n'
            f'{"kernel":32s}{"registers":>10s}{"spilled":>9s}{"shared":>8s}{"warps":>7s}'
            f'{"instr.":>9s}{"shuffles":>10s}{"loads":>8s}{"stores":>8s}{"live MB":>9s}{"issue ms":>10s}'
            '  global loads, stores by bits of a thread'
        )
        for name in args.kernels:
            print(line(name, arch, args.ptx), flush=True)


def line(name: str, arch: int, folder: Path | None) -> str:
    """A kernel's line of the table."""
    kernel, constants, warps = CASES[name]
    code = compile_for(kernel, constants, warps, arch)
    resident = occupancy(code, warps, arch) if arch in DEVICES else '-'
    said = f'{name:32s}{code.registers:10d}{code.spilled:9d}{code.shared:8d}{resident:>7}'
    derived = ['-'] * 6
    if 'CHUNK' in constants:
        counts = per_step_and_state(code.sass, constants, name.startswith('scan_backward'))
        derived[:4] = [f'{counts[kind]:.2f}' for kind in ('all', 'SHFL', 'load', 'store')]
        if arch in DEVICES:
            processors, _ = DEVICES[arch]
            sequences, channels, steps = BOUND
            issued = sequences * steps * STATES * (channels / constants['BLOCK']) * counts['all']
            derived[4] = f'{processors * resident * live(name, constants) / 1e6:.1f}'
            derived[5] = f'{issued / (4 * processors * CLOCK) * 1e3:.2f}'
    said += ''.join(f'{value:>{width}}' for value, width in zip(derived, (9, 10, 8, 8, 9, 10), strict=True))
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f'{name.replace(", ", "-").replace(" ", "_")}.ptx'
        file.write_text(code.ptx)
        file.with_suffix('.sass').write_text(code.sass)
    return f'{said}  {widths(code.ptx, "ld")}; {widths(code.ptx, "st")}'


@dataclass
class Code:
    """What the compiler has made of a kernel; ``spilled`` and ``shared`` in bytes."""

    ptx: str
    sass: str
    registers: int
    spilled: int
    shared: int


def compile_for(kernel, constants: dict, warps: int, arch: int) -> Code:
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
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / 'kernel.cubin'
        cubin.write_bytes(compiled.asm['cubin'])
        usage, sass = read(cubin, 'cuobjdump', '-res-usage'), read(cubin, 'nvdisasm', '-c')
    used = {name: int(value) for name, value in re.findall(r'\b(REG|STACK|LOCAL):(\d+)', usage)}
    return Code(
        compiled.asm['ptx'], sass, used['REG'], used['STACK'] + used['LOCAL'], compiled.metadata.shared
    )


def read(cubin: Path, tool: str, option: str) -> str:
    command = [str(TOOLS / tool), option, str(cubin)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def occupancy(code: Code, warps: int, arch: int) -> int:
    """Warps that a multiprocessor holds at once."""
    registers = -(-code.registers // 8) * 8 * 32 * warps
    shared = DEVICES[arch][1] * 1024 // (code.shared + 1024)
    return warps * min(REGISTERS // registers, WARPS // warps, PROGRAMS, shared)


def live(name: str, constants: dict) -> int:
    """Bytes that a program of the scan writes and reads again: what the caches should hold."""
    states = STATES * constants['BLOCK'] * 4
    if not name.startswith('scan_backward'):
        return states
    # states before all tiles of a chunk but the first; the adjoint and the gradient of A
    return states * (constants['CHUNK'] // constants['TILE'] - 1 + 2)


@dataclass
class Loop:
    """A loop of the machine code, its instructions without those of the loops within."""

    first: int
    last: int
    names: list[str] = field(default_factory=list)
    within: list[Loop] = field(default_factory=list)


def per_step_and_state(sass: str, constants: dict, backward: bool) -> Counter:
    """Instructions of a warp for each step and state, within the loop over chunks or tiles."""
    chunk, size = constants['CHUNK'], constants['TILE']
    channels = constants['BLOCK'] // 32  # of a thread

    def turned(loop: Loop, turns: float) -> Counter:
        total = Counter()
        for name in loop.names:
            total[name] += turns
        for inner in loop.within:
            total += turned(inner, turns * turns_of(inner))
        return total

    def turns_of(loop: Loop) -> float:
        if loop.within:  # over tiles: in the backward all but the last one's states, then all gradients
            return chunk // size - 1 if loop is outermost.within[0] else chunk // size
        exponentials = loop.names.count('MUFU.EX2')
        if exponentials:
            return STATES * size * channels / exponentials
        products = sum(2 if name == 'FFMA2' else name == 'FFMA' for name in loop.names)
        if not products:
            raise SystemExit(
                'a loop of the scan is over neither states nor ranks: teach turns_of what it is'
            )
        return RANK * size * channels / products

    outer = loops(sass)
    if len(outer) != 1:
        raise SystemExit(f'the scan has {len(outer)} outermost loops, not one: teach per_step_and_state')
    (outermost,) = outer
    total = turned(outermost, 1 if backward else chunk // size)
    counts = Counter(all=sum(total.values()))
    for name, times in total.items():
        operation = name.split('.')[0]
        kind = {'LDG': 'load', 'LDL': 'load', 'LD': 'load', 'STG': 'store', 'STL': 'store', 'ST': 'store'}
        counts[kind.get(operation, operation)] += times
    return Counter({name: times / (chunk * STATES) for name, times in counts.items()})


def loops(sass: str) -> list[Loop]:
    """The outermost loops, from branches back to a label; instructions bear their names up to operands."""
    names, labels, branches = [], {}, []
    for text in sass.splitlines():
        label = re.match(r'\s*(\.L_x_\d+):', text)
        instruction = re.match(r'\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?(\w[\w.]*)([^;]*);', text)
        if label:
            labels[label[1]] = len(names)
        elif instruction:
            target = re.search(r'\.L_x_\d+', instruction[2]) if instruction[1].startswith('BRA') else None
            if target:
                branches.append((len(names), target[0]))
            name = instruction[1]
            names.append(name if name.startswith('MUFU') else name.split('.')[0])
    ends: dict[int, int] = {}
    for place, label in branches:
        if labels[label] < place:  # one instruction that branches to itself stands behind the end
            ends[labels[label]] = max(place, ends.get(labels[label], 0))
    outermost, open_loops = [], []
    for place, name in enumerate(names):
        if place in ends:
            loop = Loop(place, ends[place])
            (open_loops[-1].within if open_loops else outermost).append(loop)
            open_loops.append(loop)
        if open_loops:
            open_loops[-1].names.append(name)
        while open_loops and open_loops[-1].last == place:
            open_loops.pop()
    return outermost


def widths(ptx: str, operation: str) -> str:
    """How many global accesses there are of each width."""
    pattern = rf'\b{operation}\.global\S*?(?:\.v(\d))?\.[bfsu](\d+)'
    found = Counter(int(vector or 1) * int(bits) for vector, bits in re.findall(pattern, ptx))
    return ' '.join(f'{count}×{bits}' for bits, count in sorted(found.items())) or '-'


if __name__ == '__main__':
    main()
