#!/usr/bin/env python3
"""Times fine-tuning and prediction with the Trainer of transformers, as a user runs it.

    target/peers-venv/bin/python benches/peers/finetune.py MODEL_DIR data.csv --k 6 --precision f32 --attention eager

MODEL_DIR opens with AutoModelForSequenceClassification; data.csv has `sequence,label`, all sequences of one length. The k-mers are tokenised before the clock starts.
Prints one JSON object: `finetune`, examples a second over the median step after --warmup steps; `predict`, examples a second of `Trainer.predict` over all
examples, the second time. --malloc tuned: glibc keeps big blocks instead of giving them back at each step.
"""

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="timed")
    parser.add_argument("--warmup", type=int, default=2, help="not timed")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
    parser.add_argument("--malloc", choices=["default", "tuned"], default="default")
    return parser.parse_args()


def set_environment(args):
    """What must be in the environment before the process starts; starts it anew where something is missing."""
    wanted = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if args.malloc == "tuned":
        wanted |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
        wanted |= {"THP_MEM_ALLOC_ENABLE": "1"}
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main():
    args = arguments()
    set_environment(args)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, attn_implementation=args.attention)
    with open(args.data, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [" ".join(row["sequence"][at : at + args.k] for at in range(len(row["sequence"]) - args.k + 1)) for row in rows]
    encoded = tokenizer(texts)
    dataset = [
        {"input_ids": ids, "attention_mask": mask, "labels": int(row["label"])}
        for ids, mask, row in zip(encoded["input_ids"], encoded["attention_mask"], rows)
    ]
    times = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            times.append(time.perf_counter())

    steps = args.warmup + args.steps
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder, use_cpu=True, bf16=args.precision == "bf16", bf16_full_eval=args.precision == "bf16", max_steps=steps + 1,
            per_device_train_batch_size=args.batch, per_device_eval_batch_size=64, learning_rate=5e-5, weight_decay=0.01, save_strategy="no",
            report_to=[], disable_tqdm=True, logging_steps=10**9, seed=1,
        )
        trainer = Trainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer, callbacks=[Clock()])
        trainer.train()
        trainer.predict(dataset[:64])
        start = time.perf_counter()
        trainer.predict(dataset)
        predicted = time.perf_counter() - start
    step = statistics.median(b - a for a, b in zip(times[args.warmup:], times[args.warmup + 1:]))
    print(json.dumps({
        "finetune": args.batch / step, "predict": len(dataset) / predicted, "step_s": step, "steps": steps, "tokens": len(dataset[0]["input_ids"]),
    }))


if __name__ == "__main__":
    main()
