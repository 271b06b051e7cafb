"""The tests on the card: each in a process of its own, so that one that hangs or breaks the card's state takes no other with it."""

import os
from concurrent.futures import ThreadPoolExecutor

from check import PROGRAMS
from pack import TESTS
from probe import sanitizer

# What the sanitizer looks at where no test failed: every kernel once.
SANITIZED = [("ops", "one_token_alone_is_a_batch"), ("ops", "every_row_may_be_guessed"), ("cuda", "an_evaluating_executor_equals_the_training_one")]
# On the emulated card, which is slow.
REHEARSED = {
    "ops": ["one_token_alone_is_a_batch", "every_row_may_be_guessed"],
    "cuda": ["twenty_steps_lose_the_same_on_cpu_and_gpu", "two_executors_on_one_card_do_not_meet"],
    "golden": ["ten_adamw_steps_are_those_of_pytorch_in_f32"],
}


def names(check, program, filters=()):
    """The tests of a program; those whose names hold one of `filters`."""
    done = check.run([PROGRAMS / f"test-{program}", "--list", "--format", "terse", *filters], 30)
    return [line.removesuffix(": test") for line in done.out.splitlines() if line.endswith(": test")]


def program(name):
    def work(check, limit, note):
        found, ends = {}, check.seconds_left() - limit
        wanted = names(check, name, REHEARSED[name] if check.rehearse else ())
        if not wanted:
            return {"failed": f"test-{name} lists no test", "tail": check.run([PROGRAMS / f"test-{name}", "--list"], 20).words[-2000:]}

        def one(test):
            left = check.seconds_left() - ends
            if left < 3:
                return test, {"verdict": "no time"}
            done = check.run([PROGRAMS / f"test-{name}", "--exact", test, "--test-threads", "1", "--nocapture"], min(left, 300 if check.rehearse else 90))
            skipped = [line for line in (done.out + done.words).splitlines() if line.startswith("skipped")]
            verdict = "passed" if done.works else "ran past its time" if done.code == 124 else "FAILED"
            result = {"verdict": verdict, "seconds": round(done.seconds, 1)}
            if skipped:
                result["skipped"] = skipped
            if not done.works:
                result["tail"] = (done.out + done.words)[-1500:]
            return test, result

        # The first compiles what all need; then a few at a time, for most of a test is its reference on the processor.
        with ThreadPoolExecutor(1 if check.rehearse else max(1, min(6, (os.cpu_count() or 1) // 2))) as pool:
            for batch in (wanted[:1], wanted[1:]):
                for test, result in pool.map(one, batch):
                    found[test] = result
                    note({"tests": found})
        return summary(found)
    return work


def summary(found):
    bad = [test for test, result in found.items() if result["verdict"] != "passed"]
    result = {"passed": len(found) - len(bad), "tests": found}
    return {**result, "failed": f"{len(bad)} of {len(found)}: {', '.join(bad)}"} if bad else result


def failures(check):
    """Program and name of each test that failed."""
    found = []
    for name in TESTS:
        tests = check.results.get(f"tests {name}", {}).get("tests", {})
        found += [(name, test) for test, result in tests.items() if result["verdict"] in ("FAILED", "ran past its time")]
    return found


def sanitized(check, limit, note):
    return sanitize(check, limit, note, SANITIZED, ["memcheck", "racecheck", "initcheck"])


def sanitized_failures(check, limit, note):
    tests = failures(check)
    return sanitize(check, limit, note, tests[:3], ["memcheck"]) if tests else {"skipped": "no test failed"}


def sanitize(check, limit, note, tests, tools):
    path = sanitizer()
    if not path:
        return {"skipped": "no compute-sanitizer on this machine"}
    found, ends = {}, check.seconds_left() - limit
    for tool in tools:
        for program, test in tests:
            left = check.seconds_left() - ends
            if left < 10:
                found[f"{tool} {test}"] = {"verdict": "no time"}
                continue
            command = [path, "--tool", tool, "--error-exitcode", "9", PROGRAMS / f"test-{program}", "--test-threads", "1", test]
            done = check.run(command, min(left, 90))
            lines = [line for line in (done.out + done.words).splitlines() if line.startswith("=========")]
            verdict = "clean" if done.works and any("0 errors" in line or "0 hazards" in line for line in lines) else f"exit {done.code}"
            found[f"{tool} {test}"] = {"verdict": verdict, "lines": lines[:12] + lines[-3:], "seconds": round(done.seconds, 1)}
            note({"sanitizer": found})
    bad = [name for name, result in found.items() if result["verdict"] != "clean"]
    return {"sanitizer": found, **({"failed": f"not clean: {', '.join(bad)}"} if bad else {})}
