"""What was found, for people."""

import math

from check import verdict
from probe import words
from speed import H200_TFLOPS, WORKLOADS, best, speed


def report(results, left):
    lines = []
    for name, found in results.items():
        lines.append(f"\n== {name}: {verdict(found)}{' (cut off)' if found.get('incomplete') else ''}, {found['seconds']:.0f} s")
        if "tail" in found:
            lines += [f"    {line}" for line in found["tail"].strip().splitlines()[-15:]]
        lines += (f"  {line}" for line in section(name, found))
    if left:
        lines.append(f"\nno time was left for: {', '.join(left)}; the same command goes on with them")
    failed = [name for name, found in results.items() if "failed" in found]
    lines.append(f"\n{len(results) - len(failed)} parts done, {len(failed)} failed: {', '.join(failed) or 'none'}")
    return "\n".join(lines)


def section(name, found):
    workload = next((one for one in WORKLOADS if one[0] == name), None)
    if workload:
        return speeds(found)
    if name == "probe":
        return words(found) if "peers" in found else []
    if name.startswith("tests "):
        return tests(found)
    if name.startswith("sanitizer"):
        return [line for key, one in found.get("sanitizer", {}).items() for line in [f"{key}: {one['verdict']}", *(one.get("lines", [])[:6] if one["verdict"] != "clean" else [])]]
    if name.startswith("pretrain "):
        return curve(found)
    hidden = ("build", "seconds", "incomplete", "failed", "tail", "all")
    return [f"{key}: {short(value)}" for key, value in found.items() if key not in hidden]


def short(value):
    if isinstance(value, dict):
        return value.get("failed", value)
    if isinstance(value, list):
        return f"{len(value)} of them, {len(set(value))} different, the last {value[-1] if value else None}"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}" if isinstance(value, float) else value


def tests(found):
    lines = [f"{found.get('passed', 0)} passed"]
    for test, one in found.get("tests", {}).items():
        lines += [f"{test}: {line}" for line in one.get("skipped", [])]
        if one["verdict"] != "passed":
            lines.append(f"{test}: {one['verdict']}")
            lines += [f"    {line}" for line in one.get("tail", "").strip().splitlines()[-8:]]
    return lines


def speeds(found):
    ours, lines = best(found.get("ours")), []
    if speed(ours):
        tflops = ours["gflops"] / 1e3
        lines.append(
            f"ours {speed(ours):,.0f} tokens/s (batch {ours['batch']}), {tflops:.1f} TFLOP/s: {100 * tflops / H200_TFLOPS:.1f} % of {H200_TFLOPS}, "
            f"{100 * ours['share_of_matrix_rate']:.1f} % of the {ours['matrix_gflops'] / 1e3:.0f} measured here"
        )
    for one in found.get("ours", []):
        lines.append(f"  batch {one['batch']}: " + (one["failed"] if "failed" in one else f"{speed(one):,.0f} tokens/s, step {1e3 * one['step_seconds_median']:.2f} ms"))
    strongest = 0.0
    for peer, tried in found.get("peers", {}).items():
        top = best(tried)
        strongest = max(strongest, speed(top))
        ratio = speed(ours) / speed(top) if speed(top) else math.nan
        lines.append(f"  {peer:24} {speed(top):12,.0f} tokens/s (batch {top['batch']}), ours {ratio:.2f}x")
        lines += [f"    batch {one['batch']}: {one['failed']}: {one.get('tail', '').strip()[-300:]}" for one in tried if "failed" in one]
    if not found.get("peers"):
        lines.append("  peers: none ran (see probe)")
    for target, wanted in found.get("targets", {}).items():
        over = {"best": strongest, "utilisation": 0.0}.get(target, speed(best(found.get("peers", {}).get(target))))
        reached = ours.get("gflops", 0) / 1e3 / H200_TFLOPS if target == "utilisation" else speed(ours) / over if over else math.nan
        said = "not known" if math.isnan(reached) else "reached" if reached >= wanted else "NOT reached"
        lines.append(f"  target {target} {wanted}: {reached:.2f}, {said}")
    profile = [op for op in ours.get("profile", []) if op["share"]]  # null where no time was taken
    if profile:
        lines.append("  where the time goes (ms a step, TFLOP/s in it and their share of the measured rate):")
    for op in profile[:14]:
        times = f"forward {op['forward_ms']:8.3f}  backward {op['backward_ms']:8.3f}  {100 * op['share']:5.1f} %"
        lines.append(f"    {op['op']:28} {times}  {op['gflops'] / 1e3:7.1f}  {100 * op['gflops'] / ours['matrix_gflops']:5.1f} %")
    return lines


def curve(found):
    lines = [f"{found['genome']} DNA, {found['steps']} steps"] if "steps" in found else []
    if found.get("training"):
        speeds = sorted(line["tokens_per_second"] for line in found["training"])
        lines.append(f"{speeds[len(speeds) // 2]:,.0f} tokens/s, {found['training'][-1]['tokens'] / 1e6:.1f} million tokens")
    lines += [f"step {line['step']:6}: held out {line['loss']:.4f} nats a masked token" for line in found.get("held out", [])]
    return lines
