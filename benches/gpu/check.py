"""One check: what it runs, where it keeps what it found, and how much time it has."""

import json
import os
import shutil
import tarfile
import time
import traceback
from pathlib import Path

from process import ROOT, run, say

PACK = ROOT / "target" / "gpu-check"  # what travels
STATE = ROOT / "target" / "gpu-results"  # what is made here
PROGRAMS = STATE / "programs"
EARLIER = ["results.json", "cache.tar.gz"]  # what an earlier machine gave back, put into PACK by hand


class Check:
    def __init__(self, args):
        self.args = args
        self.start = time.monotonic()
        self.rehearse = args.rehearse
        self.state = STATE.with_name("gpu-rehearsal") if args.rehearse else STATE
        self.work = self.state / "work"  # nothing in it is kept
        self.log = self.state / "log.txt"
        out = os.environ.get("OUT")
        self.out = Path(out) if out else None
        self.left = []
        self.env = {
            "TATABOX_CACHE": str(self.state / "cache"),  # kernels and chosen algorithms, kept beside the results
            "TATABOX_TEST_ON": "gpu",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "RUST_BACKTRACE": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(self.state / "inductor"),
        }
        self.results = self.read()
        self.packed = {}

    def read(self):
        for folder in [self.state] + ([] if self.rehearse else [PACK]):
            if (folder / "results.json").is_file():
                return json.loads((folder / "results.json").read_text())
        return {}

    def open(self):
        """The programs of the pack, the files that the tests look for, and what an earlier machine knew."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.log.write_text("")
        self.packed = json.loads((PACK / "packed.json").read_text())
        shutil.rmtree(PROGRAMS, ignore_errors=True)
        shutil.unpack_archive(PACK / "programs.tar.gz", STATE)
        self.tatabox = PROGRAMS / "tatabox"
        if not self.rehearse and (PACK / "cache.tar.gz").is_file() and not (self.state / "cache").exists():
            shutil.unpack_archive(PACK / "cache.tar.gz", self.state)
        built = Path(self.packed["root"])
        if not built.exists():
            try:
                built.parent.mkdir(parents=True, exist_ok=True)
                built.symlink_to(ROOT)
            except OSError as error:
                say(f"the golden tests look for their files in {built}, which cannot be made: {error}")

    def seconds_left(self):
        return self.args.minutes * 60 - (time.monotonic() - self.start)

    def run(self, command, seconds, env=None):
        return run(command, min(seconds, self.seconds_left()), {**self.env, **(env or {})}, self.log)

    def ours(self, *arguments, seconds=60, env=None):
        return self.run([self.tatabox, *arguments], seconds, env)

    def done(self, name):
        """Whether this build has done a part to its end, well or not."""
        found = self.results.get(name)
        return bool(found) and (self.args.keep or found.get("build") == self.packed["build"]) and not found.get("incomplete")

    def parts(self, parts):
        """Does what is asked for, is not done yet, and has time; what failed in an earlier call comes last."""
        wanted = [part for part in parts if not self.args.only or any(part[0].startswith(only) for only in self.args.only.split(","))]
        failed = [part for part in wanted if self.done(part[0]) and "failed" in self.results[part[0]]]
        todo = [part for part in wanted if self.args.again or not self.done(part[0])]
        for part in [*todo, *(part for part in failed if part not in todo)]:
            self.part(*part)

    def part(self, name, needs, limit, work):
        if self.seconds_left() < needs:
            self.left.append(name)
            return
        limit = min(limit, self.seconds_left() - 5)
        say(f"{name} ... (at most {limit:.0f} s)")
        start = time.monotonic()

        def note(found, incomplete=True):
            found = {**found, "build": self.packed["build"], "seconds": round(time.monotonic() - start, 1)}
            self.results[name] = {**found, "incomplete": True} if incomplete else found
            self.save()

        try:
            # What a part leaves is seen even if the machine goes before it ends.
            found = work(self, limit, note)
        except Exception:  # a mistake in here must not cost the parts that follow
            found = {"failed": "a mistake of gpu-check", "tail": traceback.format_exc()[-2500:]}
        note(found, incomplete=False)
        say(f"{name}: {verdict(found)} ({self.results[name]['seconds']:.0f} s)")

    def save(self):
        self.state.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.results, indent=1)
        for folder in [self.state] + ([self.out] if self.out else []):
            (folder / "results.json.part").write_text(text)
            (folder / "results.json.part").replace(folder / "results.json")

    def close(self, report):
        """Puts what comes back into $OUT: results, report, log, and the cache of kernels for the next machine."""
        if not self.out:
            return
        (self.out / "report.txt").write_text(report)
        (self.out / "log.txt").write_bytes(self.log.read_bytes()[-8_000_000:])
        if (self.state / "cache" / "cuda").is_dir():
            with tarfile.open(self.out / "cache.tar.gz", "w:gz", compresslevel=1) as archive:
                archive.add(self.state / "cache" / "cuda", arcname="cache/cuda")


def verdict(found):
    if "skipped" in found:
        return f"skipped: {found['skipped']}"
    if "failed" in found:
        return f"FAILED: {found['failed']}"
    return "done"
