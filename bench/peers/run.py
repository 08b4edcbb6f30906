"""Compares this engine with PyTorch on the same networks, editor and rows. See bench/peers/run --help."""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import torch

from worker import Team

# A case is kind:workload:batch. Workload a: messages, D = H = 64, K = 4, T = 1; b: D = H = 32, K = 1, T = 3; c and d: D = H = 32,
# K = 3, T = 1 and T = 3.
DEFAULT_CASES = {
    "cpu": "messages:a:1,messages:a:64,edit:b:1,edit:b:64,train:b:16,edit:a:1,edit:a:64,train:a:16",
    "cuda": "messages:a:1,messages:a:64,messages:a:1024,edit:b:1,edit:b:64,edit:b:1024,train:b:16,train:b:256,edit:a:1,"
            "edit:a:64,edit:a:1024,train:a:16",
}
# See Arrangement.compare. Observed on CPUs: 9e-7 for edits and messages, 8e-5 for the smallest gradients; no gate differed.
# On GPUs nothing has been observed yet: both sides sum in other orders there, with other functions.
TOLERANCE, FLIPS = {"messages": 2e-5, "edit": 2e-5, "train": 5e-4}, 1e-3
TOLERANCE_FACTOR = {"cpu": 1, "cuda": 10}


class Differs(Exception):
    """Outputs are not those of the other side: there is nothing to compare times of."""


class Engine:
    """This engine, timed by itself in a process of its own."""

    def __init__(self, path, device, clock):
        self.path, self.device = path, device
        self.process = subprocess.Popen([path, "serve", device, clock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def export(self, case, path):
        subprocess.run([self.path, "export", self.device, *case, path], check=True)

    def time(self, case, threads, rounds):
        self.process.stdin.write(f"{' '.join(case)} {threads} {rounds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench/peers: peer_engine has ended")
        return [float(x) for x in line.split()]


def say(text):
    print(text, file=sys.stderr, flush=True)


def candidates(batch, cores, compiled, device):
    """(variant, compiled, graph, threads, chunk, processes); chunks that are kept in the caches are what a careful user would
    try for a large batch. On a GPU launches are replayed as a graph too, as this engine does."""
    if device != "cpu":
        for variant in ("dense", "edge_list"):
            for graph in (False, True):
                yield (variant, False, graph, cores, 0, 1)
        if compiled:
            for graph in (False, True):
                yield ("dense", True, graph, cores, 0, 1)
        return
    threads = sorted({1, cores})
    chunks = [0] + [c for c in (16, 4, 1) if c < batch]
    for t in threads:
        for c in chunks:
            yield ("dense", False, False, t, c, 1)
        for c in chunks[:1] + [c for c in chunks if c == 4]:
            yield ("edge_list", False, False, t, c, 1)
            if compiled:
                yield ("dense", True, False, t, c, 1)
    if batch > 1 and cores > 1:
        for c in chunks[:1] + [c for c in chunks if c == 4]:
            yield ("dense", False, False, 1, c, cores)
            if compiled:
                yield ("dense", True, False, 1, c, cores)


def engine_threads(cores, device):
    return sorted({1, cores}) if device == "cpu" else [cores]


def engine_name(threads, device):
    if device != "cpu":
        return "engine, graph"
    return f"engine, {threads} threads" if threads > 1 else "engine, 1 thread"


def variant_best(best, variant):
    return best[variant][0] if variant in best else math.inf


def measure(engine, case, folder, options):
    kind, _, batch = case
    batch = int(batch)
    path = os.path.join(folder, "_".join(case) + ".safetensors")
    engine.export(case, path)
    best = {}  # variant -> (seconds, team)
    tried, checked = [], {}
    cores = options.threads
    for arrangement in candidates(batch, cores, options.compile, options.device):
        variant, compiled, graph, threads, chunk, processes = arrangement
        try:
            team = Team(path, kind, *arrangement, options.device, options.clock)
        except (RuntimeError, EOFError) as error:
            say(f"  {variant}{', compiled' * compiled}{', graph' * graph}: failed\n{error}")
            tried.append({"variant": variant, "compiled": compiled, "graph": graph, "threads": threads,
                          "failed": str(error)})
            continue
        key = (team.variant, threads)
        if processes == 1 and key not in checked:
            error, flips = checked[key] = team.compare()
            if not (error < TOLERANCE[kind] * TOLERANCE_FACTOR[options.device] and flips < FLIPS):
                team.stop()
                for _, other in best.values():
                    other.stop()
                raise Differs(f"{team.variant} differs from this engine by {error:.1e}, {flips:.1e} of the gates")
        # What is hopeless is not waited for.
        seconds = min(team.time(1))
        if variant_best(best, team.variant) > seconds / 2:
            seconds = statistics.median([seconds] + team.time(options.search_rounds))
        say(f"  {team.variant:22} {team.label:36} {1e3 * seconds:9.2f} ms")
        tried.append({"variant": team.variant, "arrangement": team.label, "seconds": seconds,
                      "preparation_seconds": team.preparation})
        if team.variant not in best or seconds < best[team.variant][0]:
            if team.variant in best:
                best[team.variant][1].stop()
            best[team.variant] = (seconds, team)
        else:
            team.stop()

    own = engine_threads(cores, options.device)
    times = {engine_name(t, options.device): [] for t in own}
    times.update({name: [] for name in best})
    for _ in range(options.rounds):
        for t in own:
            times[engine_name(t, options.device)] += engine.time(case, t, options.repeat)
        for name, (_, team) in best.items():
            times[name] += team.time(options.repeat)
    rows = {}
    for name, values in times.items():
        ordered = sorted(values)
        rows[name] = {
            "seconds": statistics.median(ordered),
            "p5": ordered[int(0.05 * (len(ordered) - 1))],
            "p95": ordered[int(0.95 * (len(ordered) - 1) + 0.5)],
            "arrangement": best[name][1].label if name in best else name.split(", ")[1],
        }
    ours = min(row["seconds"] for name, row in rows.items() if name.startswith("engine"))
    for row in rows.values():
        row["ratio"] = row["seconds"] / ours
    for _, team in best.values():
        team.stop()
    return {"case": ":".join(case), "error": {f"{v}, {t}": e for (v, t), e in checked.items()}, "rows": rows, "tried": tried}


def table(results):
    width = max([18] + [len(name) for result in results for name in result.get("rows", ())])
    lines = [f"{'case':14} {'side':{width}} {'arrangement':36} {'median ms':>10} {'p5':>9} {'p95':>9} {'ms/network':>11} {'ratio':>7}"]
    for result in results:
        if "failed" in result:
            lines.append(f"{result['case']:14} {result['failed']}")
            continue
        batch = int(result["case"].split(":")[2])
        for name, row in result["rows"].items():
            lines.append(
                f"{result['case']:14} {name.split(', ')[0] if name.startswith('engine') else name:{width}} "
                f"{row['arrangement']:36} {1e3 * row['seconds']:10.2f} {1e3 * row['p5']:9.2f} {1e3 * row['p95']:9.2f} "
                f"{1e3 * row['seconds'] / batch:11.3f} {row['ratio']:7.2f}")
    return "\n".join(lines)


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(
        prog="bench/peers/run",
        description="Times this engine and PyTorch on the same networks, editor and rows, in turn, after comparing their "
        "outputs. Writes OUT/peers.json and OUT/peers.txt.")
    parser.add_argument("out", metavar="OUT", help="folder for the results")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cases", help="kind:workload:batch, separated by commas; default on a CPU: " + DEFAULT_CASES["cpu"])
    parser.add_argument("--rounds", type=int, default=7, help="turns each side takes")
    parser.add_argument("--repeat", type=int, default=3, help="timed runs a turn, after one that is not")
    parser.add_argument("--search-rounds", type=int, default=3, help="timed runs when looking for the best arrangement")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores to use at most")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: processor time with one thread each, for a machine that others use")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    parser.add_argument("--engine", default=os.path.join(root, "build/release/bin/peer_engine"))
    options = parser.parse_args()
    cases = [tuple(case.split(":")) for case in (options.cases or DEFAULT_CASES[options.device]).split(",")]
    if any(len(case) != 3 or case[0] not in ("messages", "edit", "train") for case in cases):
        parser.error("--cases expects kind:workload:batch, kind one of messages, edit, train")
    if options.clock == "cpu":
        if options.device != "cpu":
            parser.error("--clock cpu: on a GPU times are those between events of the device")
        options.threads = 1
    if options.device == "cuda" and not torch.cuda.is_available():
        say("bench/peers: --device: cuda cannot be used: this torch finds no GPU")
        sys.exit(2)
    if not os.access(options.engine, os.X_OK):
        sys.exit(f"bench/peers: {options.engine} is missing; build the target peer_engine")
    os.makedirs(options.out, exist_ok=True)
    engine = Engine(options.engine, options.device, options.clock)
    report = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
        "processor": processor(),
        "cores": options.threads,
        "device": options.device,
        "device_name": torch.cuda.get_device_name() if options.device == "cuda" else None,
        "clock": options.clock,
        "rounds": options.rounds,
        "repeat": options.repeat,
        "results": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            say(":".join(case))
            try:
                report["results"].append(measure(engine, case, folder, options))
            except (Differs, subprocess.CalledProcessError) as error:
                say(f"  {error}")
                report["results"].append({"case": ":".join(case), "failed": str(error)})
            text = table(report["results"])
            for name, contents in (("peers.json", json.dumps(report, indent=1)), ("peers.txt", text)):
                temporary = os.path.join(options.out, name + ".part")
                with open(temporary, "w") as file:
                    file.write(contents + "\n")
                os.replace(temporary, os.path.join(options.out, name))
    print(text)
    if any("failed" in result for result in report["results"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
