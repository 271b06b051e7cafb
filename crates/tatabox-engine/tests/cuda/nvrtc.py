#!/usr/bin/env python3
"""Gets NVIDIA's run-time compiler from PyPI, to compile the kernels where there is no CUDA. Safe to run again. Prints the folder of the library.

    python3 crates/tatabox-engine/tests/cuda/nvrtc.py        # into target/nvrtc: 0.1 GB to download

Needs Python 3.9 or newer with pip, on Linux. It installs nothing outside of that folder.
"""

import subprocess
import sys
from pathlib import Path

WANTED = "nvidia-cuda-nvrtc==13.5.37"
TARGET = Path(__file__).resolve().parents[4] / "target" / "nvrtc"


def library():
    found = sorted(TARGET.glob("nvidia/*/lib/libnvrtc.so.13"))
    return found[0].parent if found else None


def main():
    marker = TARGET / "installed.txt"
    if not (library() and marker.is_file() and marker.read_text() == WANTED):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target", str(TARGET), WANTED]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode != 0 or not library():
            sys.exit(f"error: pip could not install {WANTED}\n{(done.stdout + done.stderr).strip()[-1500:]}\n\nhint: is PyPI reachable?")
        marker.write_text(WANTED)
    print(library())


if __name__ == "__main__":
    main()
