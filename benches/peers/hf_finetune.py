#!/usr/bin/env python3
"""Fine-tunes with PyTorch and transformers as Tatabox does, to be compared with it.

    target/peers-venv/bin/python benches/peers/hf_finetune.py job.json ...

A job: `init`, a directory that AutoModelForSequenceClassification opens; `tuned`, what Tatabox made of it; `k`, `stride`; `train`, `test`: examples `{"sequence":
..., "second": null or text, "answer": class, list of 0 and 1, or list of numbers}`; `order`: the train examples of every step; `objective`: `classes`, `labels` or `values`;
`weights` (null or one an output), `smoothing`; `learning_rate`, `warmup`, `weight_decay`, `max_grad_norm`. Prints one JSON object a job and line: `losses`, one a step; `logits`
of the test examples after the last step; and `tuned`, the logits that the weights of `tuned` give. Dropout is that of config.json, and is not drawn as Tatabox draws it: 0 is
comparable. f32 on the CPU.
"""

import json
import sys

import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup


def kmers(text, k, stride):
    return " ".join(text[at : at + k] for at in range(0, len(text) - k + 1, stride))


def encode(tokenizer, examples, job):
    first = [kmers(one["sequence"], job["k"], job["stride"]) for one in examples]
    if examples[0]["second"] is None:
        return tokenizer(first, padding=True, return_tensors="pt")
    second = [kmers(one["second"], job["k"], job["stride"]) for one in examples]
    return tokenizer(first, second, padding=True, return_tensors="pt")


def answers(examples, objective):
    values = [one["answer"] for one in examples]
    return torch.tensor(values, dtype=torch.long if objective == "classes" else torch.float32)


def loss_of(model, batch, labels, job):
    weights = None if job["weights"] is None else torch.tensor(job["weights"])
    if weights is None and job["smoothing"] == 0:
        # The loss that transformers takes by itself, from `problem_type`.
        if job["objective"] == "values" and labels.shape[1] == 1:
            labels = labels[:, 0]
        return model(**batch, labels=labels).loss
    logits = model(**batch).logits
    if job["objective"] == "classes":
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=job["smoothing"])
    return F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights)


def logits_of(model, tokenizer, job):
    model.eval()
    with torch.no_grad():
        return model(**encode(tokenizer, job["test"], job)).logits.tolist()


def main(path):
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    tokenizer = AutoTokenizer.from_pretrained(job["init"])
    model, loading = AutoModelForSequenceClassification.from_pretrained(job["init"], output_loading_info=True)
    wrong = {key: sorted(found) for key, found in loading.items() if key != "error_msgs" and found}
    if wrong:
        sys.exit(f"error: the weights of {job['init']} do not fit: {wrong}")
    model.train()
    plain = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": job["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
        lr=job["learning_rate"],
    )
    schedule = get_linear_schedule_with_warmup(optimizer, job["warmup"], len(job["order"]))
    losses = []
    for step in job["order"]:
        examples = [job["train"][index] for index in step]
        loss = loss_of(model, encode(tokenizer, examples, job), answers(examples, job["objective"]), job)
        loss.backward()
        if job["max_grad_norm"] > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), job["max_grad_norm"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    tuned, loading = AutoModelForSequenceClassification.from_pretrained(job["tuned"], output_loading_info=True)
    wrong = {key: sorted(found) for key, found in loading.items() if key != "error_msgs" and found}
    if wrong:
        sys.exit(f"error: the weights of {job['tuned']} do not fit: {wrong}")
    theirs = AutoTokenizer.from_pretrained(job["tuned"])
    print(json.dumps({
        "losses": losses,
        "logits": logits_of(model, tokenizer, job),
        "tuned": logits_of(tuned, theirs, job),
        "id2label": tuned.config.id2label,
    }))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for job in sys.argv[1:]:
        main(job)
