"""Whole commands on the card, beside the same on the processor: the same losses, the same bytes, runs that change the device."""

import hashlib
import json
import shutil

from check import PACK


def genome(check):
    """Human DNA where it was carried, else a simulated genome; and which it is."""
    files = [PACK / "human" / name for name in check.packed["human"]]
    if files and not check.rehearse:
        return files, "human"
    folder = simulated(check)
    return [folder / "genome.fa"], "simulated"


def simulated(check):
    """The folder of a simulated genome with tables to learn from."""
    folder = check.work / "simulated"
    if not (folder / "genome.fa").is_file():
        done = check.ours("simulate", "--bases", "200k" if check.rehearse else "2M", "-o", folder, seconds=60)
        if not done.works:
            raise RuntimeError(f"tatabox simulate: {done.words[-500:]}")
    return folder


def labelled(check):
    """Promoters and other sequences of the simulated genome, in three parts."""
    folder = simulated(check) / "promoters"
    if check.rehearse:  # the emulated card is slow
        for path in sorted(folder.glob("*.csv")):
            header, *rows = path.read_text().splitlines()
            short = [row[:40] + row[-2:] for row in rows[:10]]
            path.write_text("\n".join([header, *short]) + "\n")
    return folder


def sets(**values):
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


def train(check, name, device, seconds, genomes, **values):
    """Pretrains; the run's folder and how the command ended."""
    folder = check.work / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder, check.ours("pretrain", *genomes, "-o", folder, "--device", device, *sets(**values), seconds=seconds)


def metrics(folder, kind="train"):
    path = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [line for line in lines if line["kind"] == kind]


def losses(folder):
    """By step; a step in which nothing was hidden has none."""
    return {line["step"]: line["loss"] for line in metrics(folder) if line["loss"] is not None}


def apart(one, other):
    """The largest relative difference over the steps that both have."""
    both = sorted(set(one) & set(other))
    return max((abs(one[step] - other[step]) / abs(other[step]) for step in both), default=float("nan"))


def small(check, **more):
    """A run of twenty steps, dropout on, everything logged."""
    sizes = dict(model__preset="tiny", data__max_length=32, train__batch_size=4) if check.rehearse else dict(model__preset="bert-mini", data__max_length=128, train__batch_size=16)
    return {**sizes, "train__steps": steps(check), "train__precision": "f32", "log__every": 1, "evaluate__sequences": 0, "checkpoint__every": steps(check) // 2, "checkpoint__keep": 9, **more}


def steps(check):
    return 6 if check.rehearse else 20


def agreement(check, limit, note):
    """f32 losses of twenty steps on the processor and on the card; then a run of each that goes on on the other from its middle."""
    genomes, _ = genome(check)
    found, runs = {}, {}
    for device in ("cpu", "cuda"):
        folder, done = train(check, f"agree-{device}", device, limit / 2, genomes[:1], **small(check))
        if not done.works:
            return {**found, **done.failure()}
        runs[device] = losses(folder)
        found[device] = list(runs[device].values())
        note(found)
    found["apart"] = apart(runs["cuda"], runs["cpu"])
    bad = [] if found["apart"] <= 1e-4 and runs["cuda"].keys() == runs["cpu"].keys() else [f"losses {found['apart']:.1e} apart over {len(runs['cuda'])} steps"]
    half = steps(check) // 2
    for begun, then in (("cpu", "cuda"), ("cuda", "cpu")):
        folder = check.work / f"resumed-{begun}-{then}"
        shutil.copytree(check.work / f"agree-{begun}", folder)
        # A torn last save: the one before it is taken, and the second half is done again.
        (folder / "checkpoints" / f"step-{2 * half}" / "state.json").unlink()
        (folder / "metrics.jsonl").write_text("")
        done = check.ours("pretrain", "--resume", folder, "--device", then, seconds=limit / 3)
        again = [line["step"] for line in metrics(folder)]
        key = f"begun on {begun}, then on {then}"
        if not done.works or again != list(range(half + 1, 2 * half + 1)):
            bad.append(f"{key}: {f'steps {again}' if done.works else done.failure()['failed']}")
            found[key] = done.failure()["tail"][-300:]
            continue
        found[key] = apart(losses(folder), runs["cpu"])
        if not found[key] <= 1e-4:
            bad.append(f"{key}: {found[key]:.1e} apart")
    return {**found, **({"failed": "; ".join(bad)} if bad else {})}


def repeats(check, limit, note):
    """Ten runs in bf16, each its own process: the same bytes. Then the large model, whose last loss tells whether any bit before it differed."""
    genomes, _ = genome(check)
    hashes, found, ends = [], {}, check.seconds_left() - limit
    for index in range(2 if check.rehearse else 10):
        folder, done = train(check, f"repeat-{index}", "cuda", limit / 4, genomes[:1], **small(check, train__precision="bf16", checkpoint__every=1000))
        if not done.works:
            return {**found, **done.failure()}
        hashes.append(hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16])
        shutil.rmtree(folder)
        found["hashes"] = hashes
        note(found)
    sizes = ["--model", "tiny", "--seq", "16", "--batch", "2"] if check.rehearse else ["--model", "dnabert", "--seq", "512", "--batch", "32", "--lengths", "mix"]
    found["last losses"] = []
    while len(found["last losses"]) < (2 if check.rehearse else 10) and check.seconds_left() - ends > 8:
        report = check.ours("bench", "step", "--device", "cuda", "--json", "--precision", "bf16", "--steps", "3", "--warmup", "1", *sizes, seconds=60).json()
        found["last losses"].append(report["loss"] if report else None)
    bad = [name for name in ("hashes", "last losses") if len(set(found[name])) > 1 or None in found[name]]
    return {**found, **({"failed": f"not all the same: {', '.join(bad)}"} if bad else {})}


def verbs(check, limit, note):
    """Fine-tuning, prediction, evaluation, few shots: on the card and on the processor, in f32."""
    folder, tables = simulated(check), labelled(check)
    found, bad = {}, []
    base, done = train(check, "verbs-base", "cuda", limit / 3, [folder / "genome.fa"], **small(check, checkpoint__every=1000))
    if not done.works:
        return done.failure()
    frozen = check.work / "frozen.jsonl"
    done = check.ours("mask", "freeze", folder / "genome.fa", "--sequences", "5" if check.rehearse else "40", "-o", frozen, *sets(data__max_length=32 if check.rehearse else 128))
    frozen = frozen if done.works else None
    if frozen is None:
        bad.append("mask freeze")
        found["mask freeze"] = done.failure()
    learnt = sets(train__max_steps=1 if check.rehearse else 30, train__precision="f32", train__batch_size=4 if check.rehearse else 16)
    commands = {
        "finetune": lambda device, out: ["finetune", base, "--data", tables, "-o", out, "--json", *learnt],
        "predict": lambda device, out: ["predict", check.work / "finetune-cpu", tables / "test.csv", "-o", f"{out}.tsv", "--json"],
        "evaluate": lambda device, out: ["evaluate", base, "--masks", frozen, "--json"] if frozen else None,
        "fewshot": lambda device, out: ["fewshot", base, "--data", tables, "-o", out, "--json", "--shots", "2", "--draws", "1", "--test-examples", "8" if check.rehearse else "100", *learnt],
    }
    for verb, command in commands.items():
        reports = {}
        for device in ("cpu", "cuda"):
            words = command(device, check.work / f"{verb}-{device}")
            if words is None:
                continue
            done = check.ours(*words, "--device", device, seconds=limit / 2)
            if not done.works:
                bad.append(f"{verb} on {device}")
                found[f"{verb} {device}"] = done.failure()
                continue
            reports[device] = numbers(verb, done, check.work / f"{verb}-{device}")
        if len(reports) == 2:
            found[verb] = max((abs(a - b) for a, b in zip(reports["cpu"], reports["cuda"])), default=0.0)
            missing = len(reports["cpu"]) != len(reports["cuda"]) or (verb != "fewshot" and not reports["cpu"])
            if missing or not found[verb] <= 1e-3:
                bad.append(f"{verb}: {'numbers are missing' if missing else f'{found[verb]:.1e} apart'}")
        note(found)
    return {**found, **({"failed": "; ".join(bad)} if bad else {})}


def numbers(verb, done, out):
    """What must be the same on both devices."""
    report = done.json() or {}
    if verb == "finetune":
        return [epoch[loss] for epoch in report["epochs"] for loss in ("train_loss", "dev_loss")]
    if verb == "predict":
        rows = out.with_name(out.name + ".tsv").read_text().splitlines()[1:]
        return [float(cell) for row in rows for cell in row.split("\t")[2:] if cell != "NA"]
    if verb == "evaluate":
        return [report["loss"]]
    # Metrics of a few answers jump where one falls on the other side of a half: of few shots it is asked only that they work.
    return []
