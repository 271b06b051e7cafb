"""Builds the programs, and puts them and a piece of the human genome into target/gpu-check, which travels."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from check import PACK
from process import ROOT, fail, say

# Each test program of the pack: its name for cargo and its package.
TESTS = {"ops": ("ops", "tatabox-engine"), "cuda": ("cuda", "tatabox-engine"), "golden": ("equals_hugging_face", "tatabox")}
# Of ../shared/data/genomes/human: pieces that do not overlap, 15 million bases.
HUMAN = ["hg19_chr1_1-10Mb.fa.gz", "hg38_chr1_35.29-37.06Mb.fa.gz", "hg38_chr2_1-2.33Mb.fa.gz", "hg19_chr20_blocks_nucleus.fa.gz"]
# Of the 64 MiB that may travel, what this folder may take beside the tracked files.
MOST = 50 << 20


def cargo(*arguments):
    say("cargo", *arguments)
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        fail("cargo failed", "see above; the working tree is packed as it is, so that it must compile")
    return done.stdout


def programs(jobs):
    """The programs by name, where cargo put them."""
    threads = ["-j", str(jobs)] if jobs else []
    cargo("build", "--release", "-p", "tatabox-cli", *threads)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = {"tatabox": target / "release" / "tatabox"}
    wanted = [word for package in sorted({package for _, package in TESTS.values()}) for word in ("-p", package)]
    wanted += [word for name, _ in TESTS.values() for word in ("--test", name)]
    lines = [json.loads(line) for line in cargo("test", "--no-run", "--message-format=json", *wanted, *threads).splitlines() if line.startswith("{")]
    for name, (test, _) in TESTS.items():
        found[f"test-{name}"] = next(Path(line["executable"]) for line in lines if line.get("executable") and line["target"]["name"] == test)
    return found


def pack(jobs, data):
    found = programs(jobs)
    staged = PACK / "programs"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    build = hashlib.sha256()
    for name, path in sorted(found.items()):
        shutil.copy2(path, staged / name)
        if shutil.which("strip"):  # names of functions stay, for the backtraces of tests
            subprocess.run(["strip", "--strip-debug", staged / name], check=True)
        build.update((staged / name).read_bytes())
    with tarfile.open(PACK / "programs.tar.gz", "w:gz", compresslevel=6) as archive:
        archive.add(staged, arcname="programs")
    shutil.rmtree(staged)
    genome = human(data)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    packed = {"root": str(ROOT), "commit": commit, "build": build.hexdigest()[:12], "human": genome}
    (PACK / "root.txt").write_text(str(ROOT) + "\n")
    (PACK / "packed.json").write_text(json.dumps(packed, indent=1) + "\n")
    size = sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file())
    say(f"packed {commit} into {PACK}: {size / 1e6:.1f} MB")
    if size > MOST:
        fail(f"that is more than {MOST >> 20} MiB", f"does {PACK} hold something that need not travel?")


def human(data):
    """The names of the files of human DNA, put into the pack; none where there are none."""
    folder = PACK / "human"
    shutil.rmtree(folder, ignore_errors=True)
    sources = [data / "genomes" / "human"] if data else [place / "data" / "genomes" / "human" for place in (ROOT / "shared", ROOT.parent / "shared")]
    source = next((place for place in sources if all((place / name).is_file() for name in HUMAN)), None)
    if source is None:
        say(f"no human DNA in {', '.join(map(str, sources))}: a simulated genome will do, and its curves say so")
        return []
    folder.mkdir(parents=True)
    for name in HUMAN:
        shutil.copyfile(source / name, folder / name)
    return HUMAN
