"""Other programs: started with a time limit that holds whatever they start themselves, and what they print."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNING = set()


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def fail(what, hint):
    sys.exit(f"error: {what}\n\nhint: {hint}")


class Done:
    """How a program ended. `code` is 124 where it ran past its limit, 127 where it did not start."""

    def __init__(self, command, code, out, words, seconds):
        self.command, self.code, self.out, self.words, self.seconds = command, code, out, words, seconds

    @property
    def works(self):
        return self.code == 0

    def objects(self):
        """The JSON objects that it printed, each on a line of its own; also those before it failed."""
        found = []
        for line in self.out.splitlines():
            try:
                found += [json.loads(line)] if line.startswith("{") else []
            except json.JSONDecodeError:  # cut off
                pass
        return found

    def json(self):
        """The last object of a program that ended well; else None."""
        return (self.objects() or [None])[-1] if self.works else None

    def failure(self):
        """What to keep of a program that failed."""
        why = {124: "ran past its time", 127: "did not start"}.get(self.code, f"exit {self.code}")
        return {"failed": f"{why}: {Path(self.command[0]).name} {' '.join(self.command[1:4])}", "tail": (self.out + self.words)[-2500:], "seconds": round(self.seconds, 1)}


def run(command, seconds, env=None, log=None):
    """Runs a program in a process group of its own, which is killed as a whole. Its output goes to files: a pipe that a grandchild holds would hold us too."""
    command = [str(part) for part in command]
    start = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as words:
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=words, cwd=str(ROOT), env={**os.environ, **(env or {})}, process_group=0
            )
        except OSError as error:
            return noted(Done(command, 127, "", f"{command[0]}: {error}", 0.0), log)
        RUNNING.add(child)
        try:
            code = child.wait(timeout=max(seconds, 1))
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            kill(child)
            RUNNING.discard(child)
        texts = []
        for file in (out, words):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return noted(Done(command, code, *texts, time.monotonic() - start), log)


def kill(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:  # in the driver, and not to be killed: it is left behind
        say(f"process {child.pid} cannot be ended")


def end_with_children(*_):
    """What SIGTERM does."""
    for child in list(RUNNING):
        kill(child)
    sys.exit(143)


def noted(done, log):
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"\n$ {' '.join(done.command)}\n{done.out[-20000:]}{done.words[-20000:]}\n[exit {done.code}, {done.seconds:.1f} s]\n")
    return done
