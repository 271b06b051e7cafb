#!/usr/bin/env python3
"""Writes a small random BertForMaskedLM with DNABERT's vocabulary as transformers writes one, to check that Tatabox reads it.

    target/peers-venv/bin/python benches/peers/hf_make_model.py OUT [--k 6] [--layers 2] [--hidden 64] [--heads 4] [--seed 1]

OUT gets config.json, model.safetensors, tokenizer.json and tokenizer_config.json from `save_pretrained`, and vocab.txt, which transformers 5
no longer writes and older versions need.
"""

import argparse
import itertools
import sys
from pathlib import Path

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that does not exist yet")
    parser.add_argument("--k", type=int, default=6, choices=range(1, 9), metavar="1..8")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--intermediate", type=int, default=128)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--initializer-range", type=float, default=0.15, help="spread of the weights; at BERT's 0.02 every token is as likely as any")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.hidden % args.heads != 0:
        parser.error(f"--hidden {args.hidden} must be a multiple of --heads {args.heads}")
    if args.out.exists():
        sys.exit(f"error: {args.out} exists already\n\nhint: name a new folder, or remove it")

    import torch
    import transformers
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    transformers.utils.logging.disable_progress_bar()
    tokens = SPECIALS + ["".join(bases) for bases in itertools.product("ATCG", repeat=args.k)]
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        intermediate_size=args.intermediate,
        max_position_embeddings=args.positions,
        initializer_range=args.initializer_range,
    )
    torch.manual_seed(args.seed)
    model = BertForMaskedLM(config)
    model.save_pretrained(args.out)
    vocab = {token: index for index, token in enumerate(tokens)}
    BertTokenizer(vocab=vocab, do_lower_case=False, model_max_length=args.positions).save_pretrained(args.out)
    (args.out / "vocab.txt").write_text("\n".join(tokens) + "\n")
    for path in args.out.iterdir():
        path.chmod(0o644)  # safetensors leaves them to their owner alone
    print(f"{args.out}: {sum(p.numel() for p in model.parameters())} parameters, vocabulary {len(tokens)}, transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
