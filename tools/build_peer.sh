#!/usr/bin/env bash
# Build wheels of the peer, mamba_ssm with its CUDA kernel and causal_conv1d, for GPUs of one kind:
#   tools/build_peer.sh CAPABILITY [FOLDER]        such as: tools/build_peer.sh 9.0 work_dirs/peer
# Their own builds take no list of GPUs: they compile for seven to nine kinds, whatever TORCH_CUDA_ARCH_LIST
# says. So nvcc is called through a script that leaves theirs out and puts this one in.
# It needs nvcc of the CUDA that PyTorch was built with, a C++ compiler, and no GPU. The wheels serve this Python
# and this PyTorch. Variables: PYTHON (default python3), MAX_JOBS (compilers at a time), PACKAGES.
# Not yet run to its end: on two cores with other work half an hour was not enough.
set -euo pipefail

if [[ ! ${1:-} =~ ^([0-9]+)\.([0-9])$ ]]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
kind=${BASH_REMATCH[1]}${BASH_REMATCH[2]} out=${2:-work_dirs/peer}
python=${PYTHON:-python3}
read -r -a packages <<<"${PACKAGES:-mamba-ssm causal-conv1d}"

home=$("$python" -c 'from torch.utils.cpp_extension import CUDA_HOME; print(CUDA_HOME or "")')
if [ ! -x "$home/bin/nvcc" ]; then
    echo "build_peer.sh: no nvcc: install NVIDIA's CUDA toolkit, and name its folder in CUDA_HOME" >&2
    exit 1
fi
if ! "$python" -c 'import sys, torch; sys.exit(torch.version.cuda is None)'; then
    echo "build_peer.sh: $python has a PyTorch without CUDA: the wheels are to fit that of the GPU's machine" >&2
    exit 1
fi
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/nvcc" <<SCRIPT
#!/usr/bin/env bash
# every -gencode but that of one kind of GPU is left out
arguments=() wanted=
while ((\$#)); do
    case \$1 in
        -gencode | --generate-code) shift ;;
        -gencode=* | --generate-code=*) ;;
        *) arguments+=("\$1"); [[ \$1 != *.cu ]] || wanted=1 ;;
    esac
    shift
done
[ -z "\$wanted" ] || arguments+=(-gencode "arch=compute_$kind,code=sm_$kind")
exec "$home/bin/nvcc" "\${arguments[@]}"
SCRIPT
chmod +x "$work/nvcc"

"$python" -m pip install -q ninja packaging wheel setuptools
PYTORCH_NVCC=$work/nvcc MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE CAUSAL_CONV1D_FORCE_BUILD=TRUE \
    "$python" -m pip wheel --no-build-isolation --no-cache-dir --no-deps --no-binary :all: -w "$out" "${packages[@]}"
ls -l "$out"
