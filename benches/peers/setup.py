#!/usr/bin/env python3
"""Makes the virtual environment in which the Python peers run. Safe to run again: it does only what is missing.

    python3 benches/peers/setup.py                 # into target/peers-venv, CPU only: 0.6 GB to download, 1.6 GB on disk
    python3 benches/peers/setup.py --folder DIR
    python3 benches/peers/setup.py --cuda          # with NVIDIA's packages as torch asks for them, several GB

Needs Python 3.11 or newer and, for the CPU environment on Linux, a C compiler and `nm` and `readelf` (packages gcc and binutils).

PyPI's torch for Linux is the CUDA build; it links NVIDIA's libraries and does not load without them, although a run on
the CPU never calls one. Those packages are several GB, so the CPU environment leaves them out and puts in their place one library of
empty functions, made here from the names that torch's own files ask for. `cudaGetDeviceCount` in it answers "no device", as on a
machine without a GPU. The CPU kernels of torch are PyPI's, untouched.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
DEFAULT_FOLDER = HERE.parent.parent / "target" / "peers-venv"

# Names of functions in NVIDIA's libraries, and of the files that hold them.
NVIDIA_SYMBOL = re.compile(r"^(__cuda|cu[A-Z]|cuda|cublas|cusolver|cusparse|cufft|cudnn|cupti|nccl|nvrtc|nvshmem|nvtx|nvJitLink)")
NVIDIA_FILE = re.compile(r"^lib(cu|nccl|nvrtc|nvshmem|nvJitLink|nvToolsExt)[A-Za-z_]*\.so")
# Functions that give a text: these answer with an empty one. All others answer cudaErrorNoDevice, an error in each of the libraries.
GIVES_TEXT = re.compile(r"(GetErrorString|GetErrorName|GetStatusString|GetStatusName|GetLastErrorString|getLastError$|GetResultString)")
NO_DEVICE = 100

CHECK = """
import torch, transformers, safetensors, numpy
x = torch.randn(8, 8, requires_grad=True)
(x @ x).sum().backward()
assert torch.isfinite(x.grad).all()
print("torch", torch.__version__, "| transformers", transformers.__version__, "| cuda", torch.cuda.is_available())
"""


def fail(what, hint):
    sys.exit(f"error: {what}\n\nhint: {hint}")


def run(command, what, hint):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        fail(f"{what} failed (exit {done.returncode}): {' '.join(map(str, command))}\n{last}", hint)
    return done.stdout


def check(python):
    """The versions line when torch and transformers import and a gradient is right, else None and why."""
    done = subprocess.run([str(python), "-c", CHECK], capture_output=True, text=True)
    return (done.stdout.strip(), "") if done.returncode == 0 else (None, done.stderr.strip())


def needed_files(library):
    text = run(["readelf", "-d", "-W", library], "reading the needs of a torch library", "install binutils")
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text)


def undefined_symbols(library):
    """(name, version) of what a library asks for; the version is "" where it asks for none."""
    text = run(["nm", "-D", "--undefined-only", "--with-symbol-versions", library], "reading the symbols of a torch library", "install binutils")
    return [line.split()[-1].replace("@@", "@").partition("@")[::2] for line in text.splitlines() if line.strip()]


def stand_in_for_cuda(torch_folder):
    """Writes lib/libno_cuda.so with every NVIDIA function that torch's libraries name, and links the NVIDIA file names to it."""
    for tool in ("cc", "nm", "readelf"):
        if shutil.which(tool) is None:
            fail(f"`{tool}` is not installed; it makes the stand-in for NVIDIA's libraries", "apt-get install gcc binutils, or use --cuda")
    lib = torch_folder / "lib"
    libraries = [path for path in sorted(lib.glob("*.so*")) if not path.is_symlink() and path.name != "libno_cuda.so"]
    symbols = dict(sorted({pair for path in libraries for pair in undefined_symbols(path) if NVIDIA_SYMBOL.match(pair[0])}))
    files = sorted({name for path in libraries for name in needed_files(path) if NVIDIA_FILE.match(name)})
    lines = [
        f'const char *{name}(void) {{ return ""; }}' if GIVES_TEXT.search(name) else f"long {name}(void) {{ return {NO_DEVICE}; }}"
        for name in symbols
    ]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "no_cuda.c"
        source.write_text("\n".join(lines) + "\n")
        # The loader insists on the version under which each name is asked for (cudaMalloc@libcudart.so.13).
        script = Path(scratch) / "no_cuda.map"
        nodes = {version: [name for name in symbols if symbols[name] == version] for version in sorted(set(symbols.values()) - {""})}
        script.write_text("".join(f"{version} {{ global: {'; '.join(names)}; }};\n" for version, names in nodes.items()))
        built = Path(scratch) / "libno_cuda.so"
        command = ["cc", "-shared", "-fPIC", "-fno-builtin", "-w", f"-Wl,--version-script={script}", "-o", built, source]
        run(command, "compiling the stand-in for NVIDIA's libraries", "install gcc, or use --cuda")
        shutil.copy(built, lib / "libno_cuda.so")
    for name in files:
        link = lib / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to("libno_cuda.so")
    return len(symbols), len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where (default: target/peers-venv of this repository)")
    parser.add_argument("--cuda", action="store_true", help="install NVIDIA's packages too (several GB)")
    args = parser.parse_args()

    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or newer is needed, this is {platform.python_version()}", "run this file with a newer python3")
    folder = args.folder.resolve()
    python = folder / "bin" / "python"
    marker = folder / "installed-from.txt"
    wanted = f"{'cuda' if args.cuda else 'cpu'} {platform.python_version()} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}\n"
    if marker.is_file() and marker.read_text() == wanted and check(python)[0]:
        print(f"nothing to do: {check(python)[0]}\n{python}")
        return

    start = time.monotonic()
    if not python.exists():
        run([sys.executable, "-m", "venv", folder], "making the virtual environment", "apt-get install python3-venv")
    marker.unlink(missing_ok=True)
    print(f"installing {REQUIREMENTS.name} into {folder} ...", file=sys.stderr)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "-r", REQUIREMENTS]
    run(pip + ([] if args.cuda else ["--no-deps"]), "pip", "is PyPI reachable, and are 2 GB free (8 GB with --cuda)?")

    versions, why = check(python)
    if versions is None and not args.cuda and platform.system() == "Linux":
        where = run([python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], "asking Python", "").strip()
        symbols, files = stand_in_for_cuda(Path(where) / "torch")
        print(f"stand-in for NVIDIA's libraries: {symbols} functions, {files} file names", file=sys.stderr)
        versions, why = check(python)
    if versions is None:
        fail(f"torch or transformers does not import in {folder}:\n{why[-2000:]}", f"rm -r {folder}, then try again, or with --cuda")
    marker.write_text(wanted)
    print(f"done in {time.monotonic() - start:.0f} s: {versions}\n{python}")


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)  # a foreign PYTHONPATH would hide what is missing
    main()
