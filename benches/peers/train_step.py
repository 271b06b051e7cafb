#!/usr/bin/env python3
"""Times training steps of a BERT masked language model in PyTorch + transformers, the way a careful user writes them.

    python3 benches/peers/setup.py                                           # once
    target/peers-venv/bin/python benches/peers/train_step.py --model bert-mini --precision bf16
    target/peers-venv/bin/python benches/peers/train_step.py --model dnabert --batch 2 --precision bf16 --head masked-only --malloc tuned

One JSON object on one line of stdout for each size of batch (with `failed` where a GPU has no room for it); words go to stderr. A step is: forward, backward, clipping, AdamW (fused), zero_grad. Batches lie ready
in memory (on the device) before the clock starts, so data loading costs nothing. Tokens are the real ones ([CLS] and [SEP] included), never padding.
`tokens_per_second` is tokens a step over the median step time. With --compile and --lengths mix use --warmup 4 or more: the second length compiles again.

What makes a peer strong, each an option, so that the strongest can be found and named:
  --precision bf16     torch.autocast over f32 parameters
  --attention sdpa     fused attention (on CPU there is none with dropout: it then falls back to separate operations)
  --compile [MODE]     torch.compile of the model (needs g++ on CPU)
  --head masked-only   vocabulary logits of the labelled positions alone, which BertForMaskedLM does not do
  --malloc tuned       Linux CPU: glibc keeps big blocks instead of giving them back at each step, and PyTorch asks for huge pages
  --fpmath exact       on a GPU: plain f32 products, as PyTorch starts with; without it TF32, as tuned scripts have it
  --fpmath bf16        f32 tensors, but oneDNN may multiply in bf16 (ONEDNN_DEFAULT_FPMATH_MODE and torch.set_float32_matmul_precision)
"""

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time

MODELS = {  # layers, hidden, heads, intermediate: the presets of Tatabox
    "tiny": (2, 128, 2, 512),
    "bert-mini": (4, 256, 4, 1024),
    "bert-small": (4, 512, 8, 2048),
    "logo-genemask": (2, 256, 8, 3072),
    "dnabert": (12, 768, 12, 3072),
}
VOCAB, CLS, SEP, MASK, FIRST_KMER = 4101, 2, 3, 4, 5  # DNABERT's 6-mers
MASK_RATE = 0.15
MASK64 = (1 << 64) - 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="bert-mini")
    parser.add_argument("--work", choices=["pretrain", "finetune", "predict"], default="pretrain", help="finetune and predict: two classes of sequences")
    parser.add_argument("--seq", type=int, default=512, help="tokens of a full sequence, [CLS] and [SEP] included")
    parser.add_argument("--batch", type=batches, default=[8], help="sequences a step; several, with commas between: one after the other, a line each")
    parser.add_argument("--lengths", choices=["full", "mix"], default="full", help="mix: every second sequence has 5..seq-2 k-mers, uniform")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
    parser.add_argument("--compile", nargs="?", const="default", choices=["default", "reduce-overhead", "max-autotune"])
    parser.add_argument("--head", choices=["all", "masked-only"], default="all")
    parser.add_argument("--fpmath", choices=["default", "exact", "bf16"], default="default")
    parser.add_argument("--malloc", choices=["default", "tuned"], default="default")
    parser.add_argument("--dropout", type=float, default=0.1, help="of hidden states and of attention")
    parser.add_argument("--max-grad-norm", type=float, default=1.0, help="0: no clipping")
    parser.add_argument("--steps", type=int, default=10, help="timed")
    parser.add_argument("--warmup", type=int, default=3, help="not timed")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name, low in [("seq", 8), ("steps", 1), ("warmup", 1)]:
        if getattr(args, name) < low:
            parser.error(f"--{name} must be at least {low}")
    return args


def batches(text):
    sizes = [int(size) for size in text.split(",")]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("a batch has at least 1 sequence")
    return sizes


def set_environment(args):
    """What must be in the environment before the process starts; starts it anew where something is missing."""
    wanted = {}
    if args.malloc == "tuned":
        wanted |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
        wanted |= {"THP_MEM_ALLOC_ENABLE": "1"}
    if args.fpmath == "bf16":
        wanted |= {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def split_mix(counter):
    """SplitMix64: the lengths of the mix, so that another program can draw the very same ones."""
    z = (counter * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def content_tokens(args, step, index):
    """k-mers of sequence `index` of step `step` (the warmup steps come first)."""
    full = args.seq - 2
    if args.lengths == "full" or index % 2 == 0:
        return full
    return 5 + split_mix(step * args.batch + index) % (full - 5 + 1)


def make_batch(args, step, torch):
    lengths = [content_tokens(args, step, index) for index in range(args.batch)]
    longest = max(lengths) + 2
    generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
    input_ids = torch.zeros(args.batch, longest, dtype=torch.long)
    attention_mask = torch.zeros(args.batch, longest, dtype=torch.long)
    labels = torch.full((args.batch, longest), -100, dtype=torch.long)
    for row, length in enumerate(lengths):
        kmers = torch.randint(FIRST_KMER, VOCAB, (length,), generator=generator)
        chosen = torch.rand(length, generator=generator) < MASK_RATE
        chosen[0] |= not chosen.any()
        kind = torch.rand(length, generator=generator)
        shown = torch.where(chosen & (kind < 0.8), MASK, kmers)
        drawn = torch.randint(FIRST_KMER, VOCAB, (length,), generator=generator)
        shown = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), drawn, shown)
        input_ids[row, : length + 2] = torch.cat([torch.tensor([CLS]), shown, torch.tensor([SEP])])
        attention_mask[row, : length + 2] = 1
        labels[row, 1 : length + 1] = torch.where(chosen, kmers, -100)
    flat = labels.flatten()
    rows = (flat != -100).nonzero().squeeze(1)
    batch = dict(input_ids=input_ids, labels=labels, rows=rows, targets=flat[rows])
    if args.work != "pretrain":
        batch["labels"] = torch.randint(2, (args.batch,), generator=generator)
    if min(lengths) + 2 < longest:  # a full batch needs no mask, and without one attention is faster
        batch["attention_mask"] = attention_mask
    return {name: tensor.to(args.device) for name, tensor in batch.items()}, int(attention_mask.sum())


def make_model(args, torch):
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

    layers, hidden, heads, intermediate = MODELS[args.model]
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max(512, args.seq),
        hidden_dropout_prob=args.dropout,
        attention_probs_dropout_prob=args.dropout,
        attn_implementation=args.attention,
    )
    torch.manual_seed(args.seed)
    if args.work != "pretrain":
        config.num_labels = 2
    bert = (BertForMaskedLM if args.work == "pretrain" else BertForSequenceClassification)(config)

    class EveryPosition(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bert

        def forward(self, input_ids, labels, rows, targets, attention_mask=None):
            return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss

    class MaskedOnly(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = bert

        def forward(self, input_ids, labels, rows, targets, attention_mask=None):
            states = self.model.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            wanted = states.reshape(-1, states.shape[-1])[rows]  # [labelled, hidden]
            return torch.nn.functional.cross_entropy(self.model.cls(wanted), targets)

    module = (MaskedOnly if args.head == "masked-only" and args.work == "pretrain" else EveryPosition)().to(args.device)
    return module.train(args.work != "predict")


def make_optimizer(model, torch):
    undecayed = lambda name: name.endswith("bias") or "LayerNorm" in name
    groups = [
        dict(params=[p for n, p in model.named_parameters() if not undecayed(n)], weight_decay=0.01),
        dict(params=[p for n, p in model.named_parameters() if undecayed(n)], weight_decay=0.0),
    ]
    options = dict(lr=4e-4, betas=(0.9, 0.98), eps=1e-6)
    try:
        return torch.optim.AdamW(groups, fused=True, **options), True
    except RuntimeError:
        return torch.optim.AdamW(groups, **options), False


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def main():
    args = arguments()
    set_environment(args)
    import torch
    import transformers

    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: --device cuda, but PyTorch sees no GPU\n\nhint: setup.py makes a CPU environment unless it is given --cuda")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.fpmath == "bf16":
        torch.set_float32_matmul_precision("medium")
    elif args.device == "cuda" and args.fpmath == "default":
        torch.set_float32_matmul_precision("high")  # TF32, as every tuned script has it

    _ = transformers.BertForMaskedLM  # transformers imports its parts at first use
    imported = peak_rss()
    sizes = args.batch
    for args.batch in sizes:
        try:
            line = measure(args, imported, torch, transformers)
        except torch.OutOfMemoryError as error:
            line = dict(batch=args.batch, failed=f"out of memory: {error}")
        print(json.dumps(line), flush=True)
        gc.collect()
        if args.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def measure(args, imported, torch, transformers):
    if args.compile:
        torch._dynamo.reset()
    batches = [make_batch(args, step, torch) for step in range(args.warmup + args.steps)]
    model = make_model(args, torch)
    optimizer, fused = make_optimizer(model, torch)
    parameters = list(model.parameters())
    step_model = model
    if args.compile:
        for batch, _ in batches:  # the number of labelled tokens differs by batch: one compilation for all
            for name in ("rows", "targets"):
                torch._dynamo.maybe_mark_dynamic(batch[name], 0)
        step_model = torch.compile(model, mode=None if args.compile == "default" else args.compile)

    def synchronize():
        if args.device == "cuda":
            torch.cuda.synchronize()

    def predict(batch):
        with torch.inference_mode(), torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            return step_model(**batch)

    def learn(batch):
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = step_model(**batch)
        loss.backward()
        if args.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    step = predict if args.work == "predict" else learn
    seconds, losses = [], []
    start = time.perf_counter()
    for index, (batch, _) in enumerate(batches):
        synchronize()
        before = time.perf_counter()
        loss = step(batch)
        synchronize()
        seconds.append(time.perf_counter() - before)
        losses.append(float(loss))
        if index + 1 == args.warmup:
            print(f"{args.warmup} warmup steps took {time.perf_counter() - start:.1f} s", file=sys.stderr)
    timed, tokens = seconds[args.warmup :], [count for _, count in batches[args.warmup :]]
    padded = sum(batch["input_ids"].numel() for batch, _ in batches[args.warmup :])
    median = statistics.median(timed)
    line = dict(
        peer="pytorch",
        work=args.work,
        model=args.model,
        seq=args.seq,
        batch=args.batch,
        lengths=args.lengths,
        precision=args.precision,
        attention=args.attention,
        compile=args.compile,
        head=args.head,
        fpmath=args.fpmath,
        malloc=args.malloc,
        dropout=args.dropout,
        max_grad_norm=args.max_grad_norm,
        fused_adamw=fused,
        device=torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        steps=args.steps,
        tokens_per_second=round(statistics.mean(tokens) / median, 1),
        tokens_per_second_overall=round(sum(tokens) / sum(timed), 1),
        tokens_per_step=statistics.mean(tokens),
        padding_share=round(1 - sum(tokens) / padded, 4),
        step_seconds_median=round(median, 6),
        step_seconds_min=round(min(timed), 6),
        step_seconds_max=round(max(timed), 6),
        parameters=sum(p.numel() for p in parameters),
        first_loss=round(losses[0], 4),
        last_loss=round(losses[-1], 4),
        peak_rss_bytes=peak_rss(),
        imported_rss_bytes=imported,  # Python, PyTorch and transformers before there is a model: part of the peak
        torch=torch.__version__,
        transformers=transformers.__version__,
        python=platform.python_version(),
    )
    if args.device == "cuda":
        line["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    else:
        line["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        line["amx"] = bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return line


if __name__ == "__main__":
    main()
