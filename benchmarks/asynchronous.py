"""A study with several workers, simulated: which evaluation ends next is drawn from the seed.

So a run is repeatable, whatever the machine does, and takes no longer than a serial one.
"""

import json
from time import process_time

import numpy as np
import torch

import bayesopt as bo
from benchmarks import problems
from benchmarks.record import Run
from benchmarks.solvers import OURS, Spec
from benchmarks.solvers.bayesopt import _parameter, policy_of
from benchmarks.space import starting_points

SERIAL = "serial"
Task = tuple[str, str, int, int, int]  # problem, batch, workers, evaluations in all, seed


class SameRunningPoint(Exception):
    """Two trials that run at once have the same point."""


def play(task: Task) -> Run:
    """One search: each evaluation that ends is told, and its worker asks for the next at once.

    `values` are in the order in which they were told. The name of the solver is that of
    `Policy(batch=...)`, or `SERIAL`; of several workers their number stands behind it.
    """
    name, batch, n_workers, n_evals, seed = task
    torch.set_num_threads(1)
    problem = problems.get(name)
    points = starting_points(problem.space, seed)
    values = [problem.value(params) for params in points]
    seconds: list[float] = []
    error = ""
    rng = np.random.default_rng([seed, n_workers])
    study = bo.Study(
        bo.Space(**{p.name: _parameter(p) for p in problem.space}),
        noise=False,
        seed=seed,
        policy=policy_of("" if batch in (SERIAL, "default") else json.dumps({"batch": batch})),
    )
    study.add(points, values)
    running: list[bo.Trial] = []
    try:
        while len(values) < n_evals:
            while len(running) < min(n_workers, n_evals - len(values)):
                start = process_time()
                trial = study.ask()
                seconds.append(process_time() - start)
                if any(trial.params == other.params for other in running):
                    raise SameRunningPoint(str(trial.params))
                running.append(trial)
            ended = running.pop(int(rng.integers(len(running))))
            values.append(problem.value(dict(ended.params)))
            study.tell(ended, values[-1])
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Run(
        problem=name,
        solver=label(batch, n_workers),
        seed=seed,
        n_evals=n_evals,
        version=Spec(OURS, OURS).version,
        n_initial=len(points),
        optimum=problem.optimum,
        values=values,
        seconds=seconds,
        error=error,
    )


def label(batch: str, n_workers: int) -> str:
    return batch if n_workers == 1 else f"{batch}, {n_workers} workers"
