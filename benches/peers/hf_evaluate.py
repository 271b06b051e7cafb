#!/usr/bin/env python3
"""Evaluates a run directory on frozen masks with transformers alone, to be compared with `tatabox evaluate`.

    target/peers-venv/bin/python benches/peers/hf_evaluate.py RUN_DIR frozen.jsonl [--genome genome.fa]

Loads RUN_DIR with AutoModelForMaskedLM and AutoTokenizer, without remote code, and prints one JSON object: the mean nats a labelled token in f32, overall
and by mask strategy. frozen.jsonl has one sequence a line: `input_ids`, `labels` (-100 where nothing is asked) and `mask`, the name of the
strategy; lines without `input_ids` are skipped. The tokenizer must give the same ids back for the text of every line and, with --genome, for
the bases of every window as they stand in that FASTA file; where it does not, or where weights are missing or left over, the exit code is 1.
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict


def read_masks(path):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                sys.exit(f"error: {path}, line {number}: not JSON: {error}")
            if "input_ids" not in record:
                continue
            if len(record["input_ids"]) != len(record.get("labels", [])):
                sys.exit(f"error: {path}, line {number}: {len(record['input_ids'])} input_ids, but {len(record.get('labels', []))} labels")
            yield number, record


def read_genome(path):
    """The contigs of a FASTA file by name, in upper case."""
    contigs, name = {}, None
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(">"):
                name = line[1:].split()[0]
                contigs[name] = []
            else:
                contigs[name].append(line.strip().upper())
    return {name: "".join(parts) for name, parts in contigs.items()}


def ids_of_window(tokenizer, genome, record):
    """What the tokenizer makes of the k-mers of a window, cut from the genome's text without Tatabox."""
    bases = genome[record["contig"]][record["start"] : record["start"] + record["bases"]]
    if record["strand"] == "-":
        bases = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    k, stride = record["k"], record["stride"]
    kmers = [bases[at : at + k] for at in range(0, len(bases) - k + 1, stride)]
    return tokenizer(" ".join(kmers), truncation=False)["input_ids"]


def unmasked(record):
    return [label if label != -100 else seen for seen, label in zip(record["input_ids"], record["labels"])]


def round_trips(tokenizer, ids):
    """Whether the tokenizer reads the text of `ids` back as the same ids."""
    text = " ".join(tokenizer.convert_ids_to_tokens(ids))
    return tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"] == ids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN_DIR")
    parser.add_argument("masks", metavar="frozen.jsonl")
    parser.add_argument("--genome", metavar="FASTA", help="the genome that the masks lie on, plain or gzip")
    parser.add_argument("--limit", type=int, help="only the first so many sequences")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()

    import torch
    import transformers
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    if args.threads:
        torch.set_num_threads(args.threads)
    model, loading = AutoModelForMaskedLM.from_pretrained(args.run, dtype=torch.float32, output_loading_info=True)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(args.run)

    genome = read_genome(args.genome) if args.genome else None
    nats, labelled = defaultdict(float), defaultdict(int)
    sequences, broken = 0, []
    with torch.inference_mode():
        for number, record in read_masks(args.masks):
            if args.limit is not None and sequences == args.limit:
                break
            sequences += 1
            ids, labels = record["input_ids"], torch.tensor(record["labels"])
            if not round_trips(tokenizer, ids) or (genome and ids_of_window(tokenizer, genome, record) != unmasked(record)):
                broken.append(number)
            logits = model(input_ids=torch.tensor([ids])).logits[0]  # [tokens, vocab]
            losses = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="none")[labels != -100]
            mask = record.get("mask", "unnamed")
            mask = mask if isinstance(mask, str) else json.dumps(mask, sort_keys=True)
            nats[mask] += float(losses.double().sum())
            labelled[mask] += len(losses)

    total = sum(labelled.values())
    if total == 0:
        sys.exit(f"error: {args.masks} has no labelled token")
    unmatched = {key: sorted(map(str, loading.get(key, []))) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    result = dict(
        loss=sum(nats.values()) / total,
        labelled_tokens=total,
        sequences=sequences,
        by_mask={mask: dict(loss=nats[mask] / max(1, labelled[mask]), labelled_tokens=labelled[mask]) for mask in sorted(labelled)},
        tokenizer=dict(type=type(tokenizer).__name__, vocabulary=len(tokenizer), same_ids_back=not broken, lines_that_differ=broken[:10]),
        model=dict(type=type(model).__name__, vocabulary=model.config.vocab_size, parameters=sum(p.numel() for p in model.parameters()), **unmatched),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )
    print(json.dumps(result, indent=2))
    if broken or any(unmatched.values()) or len(tokenizer) != model.config.vocab_size:
        sys.exit("error: the run directory and transformers do not agree: see `tokenizer` and `model` above")


if __name__ == "__main__":
    main()
