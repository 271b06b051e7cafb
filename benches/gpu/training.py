"""Training from a FASTA file: as fast as from batches that lie ready, and what a model learns of human DNA in minutes."""

import shutil
import statistics

from commands import genome, metrics, train
from speed import best, speed

BATCH = 128


def pipeline(check, limit, note):
    """The speed from FASTA, beside the same steps on random ids that lie ready, one after the other."""
    genomes, kind = genome(check)
    sizes = dict(model__preset="tiny", data__max_length=32, train__steps=6) if check.rehearse else dict(model__preset="dnabert", data__max_length=512, train__steps=150)
    batch = 2 if check.rehearse else BATCH
    folder, done = train(check, "pipeline", "cuda", limit * 0.7, genomes, **sizes, train__precision="bf16", train__batch_size=batch, log__every=2 if check.rehearse else 10, evaluate__sequences=0, checkpoint__every=100_000)
    if not done.works:
        return done.failure()
    speeds = [line["tokens_per_second"] for line in metrics(folder)]
    shutil.rmtree(folder)
    # The first steps measure products and record launches.
    found = {"genome": kind, "batch": batch, "from FASTA": statistics.median(speeds[len(speeds) // 3:]), "all": speeds}
    note(found)
    command = ["bench", "step", "--device", "cuda", "--json", "--model", sizes["model__preset"], "--seq", sizes["data__max_length"], "--lengths", "mix", "--batch", batch, "--precision", "bf16"]
    ready = check.ours(*command, "--steps", 2 if check.rehearse else 60, seconds=limit * 0.5)
    if not ready.json():
        return {**found, **ready.failure()}
    # The median of steps there, of groups of ten here: with 128 sequences a step their tokens are nearly the same.
    return {**found, "random ids": speed(ready.json()), "ratio": found["from FASTA"] / speed(ready.json())}


def pretraining(strategy):
    """A whole run, learning rate down to 0, in the time there is: its steps follow from the speed that was measured."""
    def work(check, limit, note):
        genomes, kind = genome(check)
        tokens_per_second = check.results.get("pipeline", {}).get("from FASTA") or 0.9 * speed(best(check.results.get("dnabert mix", {}).get("ours"))) or 300_000
        batch = 2 if check.rehearse else 64
        # A run begins and ends with a save, and measures twelve times; sequences of the mix have 385 tokens on average.
        steps = 12 if check.rehearse else max(300, int((limit - 40) * 0.75 * tokens_per_second / (batch * 385)))
        sizes = dict(model__preset="tiny", data__max_length=32) if check.rehearse else dict(model__preset="dnabert", data__max_length=512)
        folder, done = train(
            check, f"pretrain-{strategy}", "cuda", limit, genomes, **sizes, mask__strategy=strategy, train__precision="bf16", train__batch_size=batch, train__steps=steps,
            train__learning_rate=4e-4, log__every=max(1, steps // 60), evaluate__every=max(1, steps // (2 if check.rehearse else 12)), evaluate__sequences=4 if check.rehearse else 200, checkpoint__every=100_000,
        )
        found = {"genome": kind, "steps": steps, "training": metrics(folder), "held out": metrics(folder, "evaluation")}
        shutil.rmtree(folder, ignore_errors=True)
        return found if done.works else {**found, **done.failure()}
    return work
