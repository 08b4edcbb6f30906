"""A case of peer_engine as PyTorch arrangements of it: inputs in place, one call runs it, another compares it."""

import torch

import dense
import edge_list
from tensors import read_case

PROBE = ("fisher", "fisher_bias", "mean", "rms", "correlation")


class Arrangement:
    """`variant`: dense or edge_list; `replay`: all that is launched is recorded as a CUDA graph; `chunk`: networks a
    call of the model takes, 0 for all; `part` of `parts`: the share of the batch that is this process's."""

    def __init__(self, path, kind, variant, compiled=False, replay=False, chunk=0, part=0, parts=1, device="cpu",
                 dtype=torch.float32):
        self.options, case = read_case(path)
        self.kind, self.variant = kind, variant
        case = {name: x.to(device=device, dtype=dtype) for name, x in case.items()}
        self.parameters = {name[10:]: x for name, x in case.items() if name.startswith("parameter.")}
        self.expected = {name[4:]: x for name, x in case.items() if name.startswith("out.")}
        self.device = device
        shape = self.shape = dense.Shape(self.options["widths"], device)
        self.training = kind == "train"
        if self.training:
            for x in self.parameters.values():
                x.requires_grad_()
        count = case["condition"].shape[0]
        first, last = count * part // parts, count * (part + 1) // parts
        self.batch = last - first
        chunk = chunk or self.batch

        def pad(bias):
            return torch.cat([bias.new_zeros(bias.shape[0], shape.inputs), bias], 1)

        if "bias" in case:
            case["bias"] = pad(case["bias"])
            case["lambda"] = case["lambda"][:, 0]
        self.chunks = []
        for begin in range(first, last, chunk):
            end = min(begin + chunk, last)
            piece = {
                name: case[name][begin:end].contiguous()
                for name in ("weight", "bias", "lambda", "condition", "noise", "loss_weight", "edge", "node")
                if name in case
            }
            if self.training:
                piece["probe"] = {name: case[name][begin:end].contiguous() for name in PROBE}
            graph = shape if variant == "dense" else edge_list.EdgeList(shape, end - begin)
            if variant != "dense" and kind == "messages":
                piece["edge"], piece["node"] = piece["edge"].flatten(0, 1), piece["node"].flatten(0, 1)
            self.chunks.append((graph, piece))
        self.rows = dense.Rows(case["x"]) if "x" in case else None
        self.loss_rows = dense.Rows(case["loss_x"]) if self.training else None
        model = self.model()
        self.call = torch.compile(model, dynamic=False) if compiled else model
        # Inference tensors and the compiler do not get on; without gradients there is little to gain from them.
        self.mode = torch.enable_grad if self.training else torch.no_grad if compiled else torch.inference_mode
        self.recorded = self.record() if replay else None

    def model(self):
        module = dense if self.variant == "dense" else edge_list
        p, options = self.parameters, self.options
        if self.kind == "messages":
            return lambda g, x: module.messages(g, p, options["messages"], x["edge"], x["node"], x["condition"])
        if self.kind == "edit":
            return lambda g, x: module.run_edit(
                g, p, options, x["weight"], x["bias"], x["lambda"], x["condition"], self.rows)[-1][:2]
        return lambda g, x: dense.loss_of(self.shape, p, options, x, self.rows, self.loss_rows, module.run_edit, g)

    def record(self):
        """The graph, after a few runs on a stream of their own, and what it writes its results to."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.step()
        return graph, results

    def step(self):
        """Inputs to results, all on the device; there nothing is waited for."""
        if self.training:
            for x in self.parameters.values():
                x.grad = None
            loss = 0.0
            for graph, piece in self.chunks:
                part = self.call(graph, piece)
                part.backward()
                loss += part.detach()
            return loss
        with self.mode():
            return [self.call(graph, piece) for graph, piece in self.chunks]

    def queue(self):
        if self.recorded is None:
            return self.step()
        graph, results = self.recorded
        graph.replay()
        return results

    def run(self):
        results = self.queue()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return results

    def seconds(self, clock):
        """Of a run: by the clock, or between two events on a device that is idle before, as peer_engine does it."""
        if self.device == "cpu":
            start = clock()
            self.run()
            return clock() - start
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        self.queue()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3

    def outputs(self):
        """By the names of the engine's outputs."""
        result = self.run()
        if self.training:
            zero = torch.zeros((), device=self.device)
            grads = {
                "grad." + name: x.grad if x.grad is not None else zero.expand_as(x) for name, x in self.parameters.items()
            }
            return {"loss": result.reshape(1), **grads}
        first, second = (torch.cat([chunk[k] for chunk in result]) for k in (0, 1))
        if self.kind == "edit":
            return {"weight": first, "bias": second[:, self.shape.inputs :]}
        return {"edge": first, "node": second}

    def compare(self):
        """(largest difference relative to the largest value, share of weights that only one side keeps). Where a gate
        flipped the network is left out of the first number: a logit within rounding of 0 may fall on either side."""
        ours, theirs = self.expected, self.outputs()
        worst, flipped = 0.0, 0.0
        keep = None
        if self.kind == "edit":
            flips = (ours["weight"] != 0) != (theirs["weight"] != 0)
            flipped = flips.float().mean().item()
            keep = ~flips.any(1)
        for name, x in ours.items():
            y = theirs[name].reshape(x.shape)
            if keep is not None:
                x, y = x[keep], y[keep]
            if x.numel():
                # A gradient that is nothing but rounding is held against the largest of all.
                size = max(x.abs().max().item(), 1e-7 if self.training else 1e-30)
                worst = max(worst, (x - y).abs().max().item() / size)
        return worst, flipped
