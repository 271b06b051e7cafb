"""What this machine has: the card, the libraries, Python's packages, tools."""

import os
import platform
import shutil
import sys
from glob import glob
from pathlib import Path

from process import ROOT, say

# Printed by an interpreter that can run the peers.
PEER = """
import json, sys
import torch, transformers
from transformers import BertForMaskedLM
found = {"python": sys.executable, "torch": torch.__version__, "transformers": transformers.__version__, "gpu": torch.cuda.is_available()}
try:
    import triton
    found["triton"] = triton.__version__
except ImportError:
    pass
print(json.dumps(found))
"""
PYTHONS = ["python3", "/opt/*/.venv/bin/python3", "/opt/*/bin/python3", "/usr/local/bin/python3", "/usr/bin/python3", str(ROOT / "target/peers-venv/bin/python")]
# Where NVIDIA's libraries lie where neither the system's search nor Tatabox's own finds them.
PLACES = ["/usr/local/nvidia", "/usr/local/cuda*", "/opt", "/usr/lib64", "/usr/lib"]
LIBRARIES = ["libcuda.so.1", "libnvrtc.so.13", "libnvrtc.so.12", "libcublasLt.so.13", "libcublasLt.so.12"]


def probe(check, limit, note):
    found = {"packed": check.packed, "system": system(check)}
    note(found)
    found["devices"] = devices(check)
    note(found)
    found["peers"] = peers(check, min(150, limit))
    say("\n".join(f"  {line}" for line in words(found)))
    return found if usable(found["devices"]) else {**found, "failed": "no GPU that can be used"}


def system(check):
    tools = {name: shutil.which(name) for name in ["nvidia-smi", "cargo", "nvcc", "c++", "ncu"]}
    tools["compute-sanitizer"] = sanitizer()
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit", "--format=csv,noheader"]
    smi = check.run(query, 20)
    disk = shutil.disk_usage(ROOT)
    return {
        "kernel": platform.platform(),
        "libc": "-".join(platform.libc_ver()),
        "cores": os.cpu_count(),
        "disk_free_gb": round(disk.free / 1e9, 1),
        "python": f"{platform.python_version()} {sys.executable}",
        "nvidia_smi": smi.out.strip() if smi.works else f"fails: {(smi.out + smi.words).strip()[-300:]}",
        "tools": tools,
    }


def sanitizer():
    found = [*glob("/usr/local/cuda*/bin/compute-sanitizer"), *glob("/opt/*/bin/compute-sanitizer"), *glob("/opt/nvidia/*/compute-sanitizer"), *glob("/usr/local/cuda*/compute-sanitizer/compute-sanitizer")]
    return shutil.which("compute-sanitizer") or next(iter(sorted(found)), None)


def devices(check):
    """What `tatabox devices` says; where it lacks a library, again with the folders in which a search finds one."""
    done = check.ours("devices", "--json", seconds=60)
    found = done.json()
    if usable(found):
        return found
    if found is None:
        return done.failure()
    folders = search()
    if folders:
        check.env["TATABOX_CUDA_LIBRARIES"] = os.pathsep.join(folders)
        again = check.ours("devices", "--json", seconds=60)
        return {**(again.json() or again.failure()), "libraries": folders, "without_them": found}
    return {**found, "libraries": f"none of {', '.join(LIBRARIES)} below {', '.join(PLACES)}"}


def usable(found):
    return bool(found) and bool(found.get("gpus")) and not found["gpus"][0]["trouble"]


def search():
    roots = [root for pattern in [*PLACES, sys.prefix] for root in sorted(glob(pattern))]
    folders = []
    for root in roots:
        for folder, below, files in os.walk(root):
            below[:] = [name for name in below if name not in ("__pycache__", "stubs", "share", "doc", "include")]
            if folder not in folders and any(name in files for name in LIBRARIES):
                folders.append(folder)
    return folders


def peers(check, limit):
    """The interpreter that can run the peers, or why there is none."""
    candidates = []
    for pattern in [sys.executable, *PYTHONS]:
        path = shutil.which(pattern)
        candidates += [path] if path else sorted(glob(pattern))
    tried = {}
    for python in dict.fromkeys(candidates):
        done = check.run([python, "-c", PEER], 0.75 * limit if not tried else 30)
        if done.json() and (done.json()["gpu"] or check.rehearse):
            return done.json()
        last = (done.out + done.words).strip().splitlines()[-1:] or [f"exit {done.code}"]
        tried[python] = "its PyTorch sees no GPU" if done.json() else last[0][-200:]
    return {"skipped": "no Python with PyTorch for CUDA and transformers", "tried": tried}


def words(found):
    """A few lines for people."""
    system, devices, peers = found["system"], found["devices"], found["peers"]
    lines = [f"commit {found['packed']['commit']}, build {found['packed']['build']}"]
    lines.append(f"{system['kernel']}, {system['libc']}, {system['cores']} cores, {system['disk_free_gb']} GB of disk free, Python {system['python']}")
    lines.append("tools: " + ", ".join(f"{name} {path or 'none'}" for name, path in system["tools"].items()))
    lines.append(f"nvidia-smi: {system['nvidia_smi']}")
    for card in devices.get("gpus", []):
        state = card["trouble"]["what"] if card["trouble"] else "ready"
        lines.append(f"card: {card['name']}, {card['memory_bytes'] / 1e9:.0f} GB, compute capability {card['capability'] / 10}, driver of CUDA {card['driver_cuda'] // 1000}.{card['driver_cuda'] % 1000 // 10}: {state}")
    if devices.get("libraries"):
        lines.append(f"libraries, by search: {devices['libraries']}")
    if devices.get("failed"):
        lines.append(f"`tatabox devices` fails: {devices['failed']}\n{devices['tail']}")
    if devices.get("no_gpu"):
        lines.append(f"no GPU: {devices['no_gpu']['what']} ({devices['no_gpu']['hint']})")
    if "skipped" in peers:
        lines.append(f"peers skipped: {peers['skipped']}: {peers['tried']}")
    else:
        lines.append(f"peers: torch {peers['torch']}, transformers {peers['transformers']}, triton {peers.get('triton', 'none')}, {peers['python']}")
    return lines


def required(check):
    """Stops where there is no card. In a later call on another machine the libraries are looked for again."""
    found = check.results.get("probe", {}).get("devices")
    libraries = found.get("libraries") if found else None
    if isinstance(libraries, list):
        check.env["TATABOX_CUDA_LIBRARIES"] = os.pathsep.join(libraries)
    return usable(found)


def peer_python(check):
    peers = check.results.get("probe", {}).get("peers", {})
    python = peers.get("python")
    return python if python and Path(python).exists() else None
