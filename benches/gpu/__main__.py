"""Builds, tests, measures and prints everything that is to be known of Tatabox on an NVIDIA GPU, beside PyTorch on the same card.

    benches/gpu-check                        on a machine with a GPU, Rust and PyTorch + transformers: all of it, about 25 minutes
    benches/gpu-check --minutes 9            what fits into that time, the most important first; the same command goes on with what is left
    benches/gpu-check --only tests,dnabert   parts whose names begin so (--list names them, in their order)

On a machine that has a GPU and PyTorch but no Rust and no network: here
    benches/gpu-check --pack                 builds, and puts what travels into target/gpu-check (about 25 MB): carry that folder
and there the same command, which finds it. Where it ends, $OUT (if that is set) holds results.json, report.txt, log.txt and cache.tar.gz; results.json and
cache.tar.gz put into target/gpu-check let another machine go on. `--report` prints what is there.
    benches/gpu-check --rehearse             all parts, small, on an emulated card: whether the command itself works (C++ compiler; a few minutes)

Words go to stderr, the report to stdout, and everything measured to target/gpu-results/results.json after every part. What is done is not done again, unless the
programs were built anew (--keep: not then either) or --again is given; what failed is tried again last. Nothing is installed, and the card's settings stay as
they are. Exit code: 0 all parts that ran are well, 1 one failed or there is no card.
"""

import argparse
import os
import shutil
import signal
from pathlib import Path

from check import PACK, Check
from commands import agreement, repeats, verbs
from pack import TESTS, pack
from probe import probe, required
from process import ROOT, end_with_children, fail, run
from report import report
from speed import WORKLOADS, workload
from tests import program, sanitized, sanitized_failures
from training import pipeline, pretraining


def parts():
    """Name, seconds below which it is not begun, seconds it may take, work; the most important first."""
    tests = [(f"tests {name}", 20, limit, program(name)) for name, limit in zip(TESTS, (150, 120, 60))]
    tests += [("sanitizer of failures", 30, 100, sanitized_failures), ("agreement", 20, 90, agreement), ("repeats", 20, 90, repeats), ("verbs", 30, 150, verbs)]
    speeds = [(one[0], 45, 250 if one[0].startswith("dnabert") else 150, workload(*one)) for one in WORKLOADS]
    last = [("sanitizer", 60, 150, sanitized)]
    runs = [(f"pretrain {strategy}", 120, 240, pretraining(strategy)) for strategy in ("kmer-span", "random-mask")]
    return [*tests, *speeds[:4], ("pipeline", 60, 120, pipeline), *speeds[4:], *runs, *last]


def emulate(check):
    """An emulated card, in the place where NVIDIA's libraries are looked for first."""
    folder = check.state / "emulated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = ROOT / "crates" / "tatabox-engine" / "tests" / "cuda" / "emulated"
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-std=c++17", "-O2", "-shared", "-fPIC", "-pthread", f'-DMACHINE="{source}/machine.h"', "-o", folder / "libemulated.so", source / "driver.cpp", "-ldl"]
    done = run(command, 120)
    if not done.works:
        fail(f"the emulated card cannot be compiled:\n{done.words[-1500:]}", "it needs a C++ compiler (c++, or $CXX)")
    for name in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"]:
        (folder / name).symlink_to("libemulated.so")
    check.env["TATABOX_CUDA_LIBRARIES"] = str(folder)


def arguments():
    parser = argparse.ArgumentParser(prog="benches/gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="store_true", help="only build and pack")
    parser.add_argument("--jobs", type=int, help="with --pack: cargo's -j")
    parser.add_argument("--data", type=Path, help="with --pack: the folder of real data (default: shared/data here or beside the repository)")
    parser.add_argument("--minutes", type=float, default=60, help="how long it may take, without the build")
    parser.add_argument("--only", default="", help="parts whose names begin so, with commas between")
    parser.add_argument("--again", action="store_true", help="do what is done already")
    parser.add_argument("--keep", action="store_true", help="what an earlier build did counts as done")
    parser.add_argument("--rehearse", action="store_true", help="all parts, small, on an emulated card")
    parser.add_argument("--list", action="store_true", help="name the parts")
    parser.add_argument("--report", action="store_true", help="print what is there")
    return parser.parse_args()


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, end_with_children)
    if args.list:
        print("\n".join(["probe", *(part[0] for part in parts())]))
        return 0
    if args.pack:
        pack(args.jobs, args.data)
        return 0
    if not args.report and not (PACK / "packed.json").is_file():
        if shutil.which("cargo") is None:
            fail(f"there is no cargo here and nothing in {PACK}", "run `benches/gpu-check --pack` where Rust is, and carry that folder")
        pack(args.jobs, args.data)
    check = Check(args)
    if args.report:
        print(report(check.results, []))
        return 0
    check.open()
    if args.rehearse:
        emulate(check)
    if not check.done("probe") or not required(check) or args.again:
        check.part("probe", 0, 150, probe)
    if "probe" not in check.results:
        fail("there was no time to ask what the card is", f"give it more than --minutes {args.minutes:g}")
    if not required(check):
        text = report({"probe": check.results["probe"]}, [])
        text += f"\n\nskipped, for there is no GPU that can be used: {', '.join(part[0] for part in parts())}"
        check.close(text)
        print(text)
        return 1
    check.parts(parts())
    text = report(check.results, check.left)
    check.close(text)
    shutil.rmtree(check.work, ignore_errors=True)
    print(text)
    return 1 if any("failed" in found for found in check.results.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
