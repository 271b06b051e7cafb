"""Speeds beside PyTorch + transformers on the same card, the best batch size for each side."""

from probe import peer_python
from process import ROOT

PEER = ROOT / "benches" / "peers" / "train_step.py"
EAGER = ["--precision", "f32", "--fpmath", "exact"]
SDPA = ["--precision", "bf16", "--attention", "sdpa", "--head", "masked-only"]
# The order matters: the compiled peer takes a minute a batch, so it gets the best of the one before it.
PEERS = {"eager f32": EAGER, "bf16 + sdpa": SDPA, "bf16 + sdpa + compile": [*SDPA, "--compile"]}
# What one large bf16 product reaches on an H200: the issue's own measure of utilisation.
H200_TFLOPS = 780

# name, model, work, tokens, lengths, our batches, the peers' batches, targets of the issue: over the best peer, over eager f32, share of H200_TFLOPS.
WORKLOADS = [
    ("dnabert full", "dnabert", "pretrain", 512, "full", [128, 256], [64, 128], {"best": 1.25, "eager f32": 3.0, "utilisation": 0.5}),
    ("dnabert mix", "dnabert", "pretrain", 512, "mix", [128, 256], [64, 128], {"best": 1.6}),
    ("finetune 32 x 100", "dnabert", "finetune", 100, "full", [32], [32], {"eager f32": 5.0}),
    ("finetune 8 x 70", "dnabert", "finetune", 70, "full", [8], [8], {"eager f32": 5.0}),
    ("bert-mini full", "bert-mini", "pretrain", 512, "full", [128, 512], [128, 512], {"best": 1.25}),
    ("bert-mini 8 x 512", "bert-mini", "pretrain", 512, "full", [8], [8], {"eager f32": 5.0}),
    ("predict 512", "dnabert", "predict", 512, "full", [128, 256], [64, 256], {"best": 1.25}),
]


def workload(name, model, work, seq, lengths, ours, theirs, targets):
    def measure(check, limit, note):
        nonlocal model, seq, ours, theirs
        if check.rehearse:
            model, seq, ours, theirs = "tiny", 16, [2], [2, 3]
        ends = check.seconds_left() - limit
        found = {"targets": targets, "ours": [], "peers": {}}
        common = ["--model", model, "--work", work, "--seq", seq, "--lengths", lengths]
        for batch in ours:
            steps = 2 if check.rehearse else 20 if batch > 32 else 60
            command = ["bench", "step", "--device", "cuda", "--json", *common, "--batch", batch, "--precision", "bf16", "--steps", steps, "--warmup", 1 if check.rehearse else 3]
            done = check.ours(*command, seconds=min(120, check.seconds_left() - ends))
            found["ours"].append(done.json() or {"batch": batch, **done.failure()})
            note(found)
        python = peer_python(check)
        if python is None:
            return found
        for peer, options in PEERS.items():
            # On a processor each of them takes a quarter of a minute to import PyTorch: one of each is rehearsal enough.
            if check.rehearse and peer != "bf16 + sdpa" and name != WORKLOADS[0][0]:
                continue
            batches = theirs
            if "--compile" in options and speed(best(found["peers"].get("bf16 + sdpa"))):
                batches = [best(found["peers"]["bf16 + sdpa"])["batch"]]
            left = check.seconds_left() - ends
            if left < 20:
                found["peers"][peer] = [{"batch": batches[0], "failed": "no time left"}]
                continue
            command = [python, PEER, *common, "--device", "cpu" if check.rehearse else "cuda", "--batch", ",".join(map(str, batches)), *options]
            command += ["--steps", 2 if check.rehearse else 20, "--warmup", 2 if check.rehearse else 6 if lengths == "mix" else 4]
            done = check.run(command, min(150, left))
            found["peers"][peer] = done.objects() or [{"batch": batches[0], **done.failure()}]
            note(found)
        return {**found, **({} if speed(best(found["ours"])) else {"failed": "no speed of ours"})}
    return measure


def speed(found):
    return found.get("tokens_per_second", 0.0) if found else 0.0


def best(tried):
    return max(tried or [{}], key=speed)
