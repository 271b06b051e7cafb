#!/usr/bin/env python3
"""Writes the golden files that Tatabox's BERT is compared with: what PyTorch and transformers compute, in f32, on one thread.

    python3 benches/peers/setup.py
    target/peers-venv/bin/python crates/tatabox/tests/golden/make_golden.py

Written by torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, numpy 2.4.6 (benches/peers/requirements.txt). On another CPU the last bits differ;
`f64` in golden.json says how far the f32 values lie from the same computation in f64, so that a tolerance can be chosen.

Each case is a folder:
  config.json, model.safetensors   as `save_pretrained` writes them: the parameters before the first step
  golden.safetensors
    input_ids, attention_mask, labels   [batch, longest] i64; padded with [PAD] = 0, mask 0, label -100
    logits                              [batch, longest, vocab] f32; 0 at padding, where nothing is defined
    loss                                [] f32: mean nats over the labelled tokens
    grad.NAME                           gradient of that loss, before clipping, NAME as in model.safetensors
    step_losses, step_norms, step_lrs   [10] f32: loss and gradient norm before each of ten steps on the same batch, and its learning rate
    final.NAME                          parameters after the ten steps (first case only, to keep the files small)
  golden.json                      the scalars again, and the settings

The steps: torch.optim.AdamW, lr 1e-3, betas 0.9 0.98, eps 1e-6, decoupled decay 0.01 on all but biases and LayerNorm; clip_grad_norm_ to 1
(factor 1 / (norm + 1e-6), when below 1); transformers' linear schedule with 3 warmup steps of 10, whose first learning rate is 0.

Gradients that are zero, and so have no relative error: position rows past the longest sequence, token type 1, and, up to rounding, every
attention.self.key.bias (adding a constant to all scores of a query does not change its softmax). Row 0 of the word embeddings, [PAD], gets a
gradient through the tied decoder only.
"""

import copy
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import transformers
from transformers import BertConfig, BertForMaskedLM, get_linear_schedule_with_warmup

HERE = Path(__file__).resolve().parent
STEPS, WARMUP, LEARNING_RATE, MAX_NORM = 10, 3, 1e-3, 1.0
MASK, FIRST_KMER = 4, 5

# lengths are in tokens, [CLS] and [SEP] included; a length of 3 is one k-mer. `unlabelled` is a sequence without a label.
CASES = {
    "bert-3mer": dict(
        seed=20261121,
        lengths=[26, 3, 38, 9, 17],
        unlabelled=None,
        keep_final=True,
        config=dict(vocab_size=69, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, max_position_embeddings=40),
    ),
    # Sizes that no vector width divides, three heads of 32, and a sequence whose tokens all go unlabelled.
    "bert-odd": dict(
        seed=7,
        lengths=[3, 18, 11, 5],
        unlabelled=2,
        keep_final=False,
        config=dict(vocab_size=261, hidden_size=96, num_hidden_layers=1, num_attention_heads=3, intermediate_size=200, max_position_embeddings=19),
    ),
}


def make_model(case):
    config = BertConfig(
        **case["config"],
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.15,  # at 0.02 a model this narrow attends to everything alike, and a wrong attention would pass
        pad_token_id=0,
        attn_implementation="eager",
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():  # fresh biases are 0 and LayerNorm weights 1: a model that ignores them would pass
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def make_batch(case):
    """A padded batch; about a quarter of the k-mers are labelled, of those most are [MASK], some random, some kept."""
    random = np.random.default_rng(case["seed"])
    longest, vocab = max(case["lengths"]), case["config"]["vocab_size"]
    shape = (len(case["lengths"]), longest)
    input_ids, attention_mask, labels = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -100, np.int64)
    for row, length in enumerate(case["lengths"]):
        kmers = random.integers(FIRST_KMER, vocab, length - 2)
        input_ids[row, :length] = [2, *kmers, 3]
        attention_mask[row, :length] = 1
        if row == case["unlabelled"]:
            continue
        count = max(1, round(0.25 * (length - 2)))
        for position in 1 + random.choice(length - 2, count, replace=False):
            labels[row, position] = input_ids[row, position]
            kind = random.random()
            if kind < 0.8:
                input_ids[row, position] = MASK
            elif kind < 0.9:
                input_ids[row, position] = random.integers(FIRST_KMER, vocab)
    return {name: torch.from_numpy(array) for name, array in [("input_ids", input_ids), ("attention_mask", attention_mask), ("labels", labels)]}


def first_pass(model, batch):
    model.zero_grad(set_to_none=True)
    output = model(**batch)
    output.loss.backward()
    return output.logits.detach(), output.loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def train(model, batch):
    plain = lambda name: name.endswith("bias") or "LayerNorm" in name
    groups = [
        dict(params=[p for n, p in model.named_parameters() if not plain(n)], weight_decay=0.01),
        dict(params=[p for n, p in model.named_parameters() if plain(n)], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), eps=1e-6)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = model(**batch).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)))
        losses.append(float(loss.detach()))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return losses, norms, rates


def loss_by_hand(logits, labels):
    """Mean of -log softmax at the label, in f64, without PyTorch."""
    logits, labels = logits.numpy().astype(np.float64), labels.numpy()
    rows, wanted = logits[labels != -100], labels[labels != -100]
    largest = rows.max(axis=1)
    log_total = largest + np.log(np.exp(rows - largest[:, None]).sum(axis=1))
    return float((log_total - rows[np.arange(len(wanted)), wanted]).mean())


def check(case, batch, logits, loss, gradients, model):
    """Fails when the golden would be weak or wrong."""
    assert abs(loss_by_hand(logits, batch["labels"]) - float(loss)) < 1e-5 * float(loss)
    for name, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), name
        rows = gradient
        if name == "bert.embeddings.position_embeddings.weight":
            rows = gradient[: max(case["lengths"])]
            assert not gradient[max(case["lengths"]) :].any(), name
        if name == "bert.embeddings.token_type_embeddings.weight":
            rows = gradient[:1]
            assert not gradient[1:].any(), name
        if name.endswith("key.bias"):
            assert gradient.abs().max() < 1e-6, name
        else:
            assert (rows != 0).any(dim=-1).all(), f"{name} has a row without a gradient"
            assert rows.abs().max() > 1e-5, name
    # A gradient against a central difference along itself, in f64: the loss must rise by the squared length of the gradient.
    probe, step = copy.deepcopy(model).double(), 1e-4
    length = sum(float((g.double() ** 2).sum()) for g in gradients.values())
    risen = []
    for sign in (1, -1):
        moved = copy.deepcopy(probe)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter.add_(sign * step / length**0.5 * gradients[name].double())
            risen.append(float(moved(**batch).loss))
    slope = (risen[0] - risen[1]) / (2 * step)
    assert abs(slope - length**0.5) < 1e-4 * length**0.5, (slope, length**0.5)


def relative(a, b):
    """Largest difference over the largest value of the reference `b`."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max() / b.abs().max())


def write(name, case):
    torch.manual_seed(case["seed"])
    model, batch = make_model(case), make_batch(case)
    model.train()  # dropout is 0; the mode is the one that training uses
    folder = HERE / name
    model.save_pretrained(folder)
    doubled = copy.deepcopy(model).double()

    logits, loss, gradients = first_pass(model, batch)
    check(case, batch, logits, loss, gradients, model)
    losses, norms, rates = train(model, batch)
    logits64, loss64, gradients64 = first_pass(doubled, batch)
    losses64, norms64, _ = train(doubled, batch)
    assert losses[-1] < 0.9 * losses[0] and max(norms) > MAX_NORM, "the steps must learn, and some must clip"

    saved = set(safetensors.torch.load_file(folder / "model.safetensors"))
    assert saved == set(gradients), saved ^ set(gradients)
    tensors = dict(batch)
    tensors["logits"] = logits * batch["attention_mask"][:, :, None]
    tensors["loss"] = loss
    for key, values in [("step_losses", losses), ("step_norms", norms), ("step_lrs", rates)]:
        tensors[key] = torch.tensor(values, dtype=torch.float32)
    tensors.update({f"grad.{key}": value for key, value in gradients.items()})
    if case["keep_final"]:
        tensors.update({f"final.{key}": value.detach() for key, value in model.named_parameters()})
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "golden.safetensors")

    noisy = {key: relative(gradients[key], gradients64[key]) for key in gradients if not key.endswith("key.bias")}
    summary = dict(
        written_by=dict(torch=torch.__version__, transformers=transformers.__version__, numpy=np.__version__),
        lengths=case["lengths"],
        labelled=int((batch["labels"] != -100).sum()),
        loss=float(loss),
        step_losses=losses,
        step_norms=norms,
        step_lrs=rates,
        optimizer=dict(lr=LEARNING_RATE, beta1=0.9, beta2=0.98, eps=1e-6, weight_decay=0.01, max_grad_norm=MAX_NORM, warmup=WARMUP, steps=STEPS),
        f64=dict(
            loss=float(loss64),
            step_losses=losses64,
            step_norms=norms64,
            logits_off_by=relative(logits, logits64),
            gradients_off_by=max(noisy.values()),
            worst_gradient=max(noisy, key=noisy.get),
            parameters_off_by=max(relative(p, q) for p, q in zip(model.parameters(), doubled.parameters())),
        ),
    )
    (folder / "golden.json").write_text(json.dumps(summary, indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors leaves them to their owner alone
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: loss {float(loss):.6f} -> {losses[-1]:.6f}, norms {norms[0]:.3f} .. {norms[-1]:.3f}, {len(gradients)} parameters, {size} bytes")


def main():
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, case in CASES.items():
        write(name, case)


if __name__ == "__main__":
    main()
