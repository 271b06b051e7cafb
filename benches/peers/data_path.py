#!/usr/bin/env python3
"""The data path in the manner of DNABERT's scripts, on one core, with the standard library (numpy for the draws where it is installed).

    python3 benches/peers/data_path.py genome.fa [--k 6] [--seconds 2]

What is reproduced: windows become k-mer text (words with spaces between them), the text is split and looked up in a dictionary, centres are drawn token by
token, their neighbours are added to a set in a Python loop, and the set is hidden 80/10/10. What is spared the peer: the text is never written to disk, and
only one strand is read. Prints one JSON object: `tokens_per_second`, `parts_ns_per_token`, `peer`.
"""

import argparse
import itertools
import json
import platform
import random
import sys
import time

try:
    import numpy
except ImportError:
    numpy = None

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNK, CLS, SEP, MASK = 1, 2, 3, 4


def read_fasta(path):
    """All bases of the file as one string."""
    with open(path, encoding="ascii") as lines:
        return "".join(line.strip() for line in lines if not line.startswith(">"))


def kmer_text(bases, k):
    return " ".join([bases[i : i + k] for i in range(len(bases) - k + 1)])


def encode(text, vocabulary):
    return [CLS, *[vocabulary.get(word, UNK) for word in text.split(" ")], SEP]


def draw_centers(count, rate):
    """Positions 1..count, each with probability `rate`."""
    if numpy is not None:
        return (numpy.flatnonzero(numpy.random.random(count) < rate) + 1).tolist()
    draw = random.random
    return [i for i in range(1, count + 1) if draw() < rate]


def mask(ids, k, rate, vocabulary_size):
    """What the model sees, and the labels, -100 where nothing is asked."""
    last = len(ids) - 2
    offsets = range(-((k - 1) // 2), k // 2 + 1)
    selected = set()
    for center in draw_centers(last, rate):
        for offset in offsets:
            position = center + offset
            if 1 <= position <= last:
                selected.add(position)
    seen, labels = list(ids), [-100] * len(ids)
    for position in selected:
        labels[position] = ids[position]
        lot = random.random()
        if lot < 0.8:
            seen[position] = MASK
        elif lot < 0.9:
            seen[position] = int(random.random() * vocabulary_size)
    return seen, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fasta")
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--full", type=int, default=510, help="tokens of a full window")
    parser.add_argument("--shortest", type=int, default=5, help="tokens of the shortest window")
    options = parser.parse_args()

    genome = read_fasta(options.fasta)
    words = SPECIALS + ["".join(word) for word in itertools.product("ATCG", repeat=options.k)]
    vocabulary = {word: index for index, word in enumerate(words)}
    rate = 0.15 / options.k
    random.seed(1)
    if numpy is not None:
        numpy.random.seed(1)

    def windows(count):
        for _ in range(count):
            tokens = options.full if random.random() < 0.5 else random.randint(options.shortest, options.full)
            bases = tokens + options.k - 1
            start = random.randrange(len(genome) - bases + 1)
            yield genome[start : start + bases]

    # Batch by batch, so that each part can be timed without timing every call.
    clock = time.perf_counter
    parts = {"sample and k-mer text": 0.0, "split and look up": 0.0, "mask": 0.0}
    tokens = 0
    start = clock()
    while clock() - start < options.seconds:
        begun = clock()
        texts = [kmer_text(bases, options.k) for bases in windows(64)]
        written = clock()
        encoded = [encode(text, vocabulary) for text in texts]
        looked_up = clock()
        masked = [mask(ids, options.k, rate, len(words)) for ids in encoded]
        done = clock()
        parts["sample and k-mer text"] += written - begun
        parts["split and look up"] += looked_up - written
        parts["mask"] += done - looked_up
        tokens += sum(len(seen) - 2 for seen, _ in masked)
    taken = clock() - start
    draws = f"numpy {numpy.__version__} for the centres" if numpy is not None else "standard library only"
    json.dump(
        {
            "tokens_per_second": tokens / taken,
            "parts_ns_per_token": {name: 1e9 * seconds / tokens for name, seconds in parts.items()},
            "peer": f"DNABERT's way in {platform.python_implementation()} {platform.python_version()}, {draws}",
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()
