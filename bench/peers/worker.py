"""A process that holds one arrangement at a time and times it when it is told to."""

import multiprocessing
import time
import traceback


def serve(pipe, clock):
    import torch

    from cases import Arrangement

    now = time.process_time if clock == "cpu" else time.perf_counter
    current = None
    while True:
        try:
            command, *arguments = pipe.recv()
        except EOFError:  # the parent is gone
            return
        try:
            if command == "stop":
                return
            if command == "prepare":
                threads, description = arguments
                current = None
                torch._dynamo.reset()
                torch.backends.cuda.matmul.allow_tf32 = False  # float32, as the other side
                torch.set_num_threads(threads)
                current = Arrangement(**description)
                start = time.perf_counter()
                current.run()
                pipe.send(time.perf_counter() - start)
            elif command == "compare":
                pipe.send(current.compare())
            else:  # time
                current.run()
                pipe.send([current.seconds(now) for _ in range(arguments[0])])
        except Exception:  # the parent decides what a failure means
            pipe.send(RuntimeError(traceback.format_exc(limit=-3)))


class Worker:
    def __init__(self, clock):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, clock), daemon=True)
        self.process.start()

    def send(self, *command):
        self.pipe.send(command)

    def receive(self):
        result = self.pipe.recv()
        if isinstance(result, Exception):
            raise result
        return result

    def ask(self, *command):
        self.send(*command)
        return self.receive()

    def stop(self):
        try:
            self.send("stop")
        except OSError:  # it has ended by itself
            pass
        self.process.join()


class Team:
    """One arrangement over `processes` processes, each with its share of the batch."""

    def __init__(self, path, kind, variant, compiled, graph, threads, chunk, processes, device, clock):
        self.label = " ".join(
            [f"{threads} thread{'s' * (threads > 1)}"]
            + [f"{processes} processes"] * (processes > 1)
            + [f"{chunk} at a time"] * (chunk > 0)
        )
        self.variant = variant + ", compiled" * compiled + ", graph" * graph
        self.workers = [Worker(clock) for _ in range(processes)]
        for part, worker in enumerate(self.workers):
            description = dict(path=path, kind=kind, variant=variant, compiled=compiled, replay=graph, chunk=chunk, part=part,
                               parts=processes, device=device)
            worker.send("prepare", threads, description)
        try:
            self.preparation = max(worker.receive() for worker in self.workers)
        except Exception:
            self.stop()  # with the memory it holds on a device
            raise

    def compare(self):
        assert len(self.workers) == 1
        return self.workers[0].ask("compare")

    def time(self, rounds):
        if len(self.workers) == 1:
            return self.workers[0].ask("time", rounds)
        times = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            for worker in self.workers:
                worker.send("time", 0)  # one run
            for worker in self.workers:
                worker.receive()
            times.append(time.perf_counter() - start)
        return times[1:]

    def stop(self):
        for worker in self.workers:
            worker.stop()
