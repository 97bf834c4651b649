"""Do the runs: every (problem, solver, seed) in a worker process that has one thread.

All solvers start from the same points and see the same noise. Only what a solver does in `ask` and
`tell` is timed, in CPU seconds of its process.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from time import process_time

from benchmarks import problems, record, solvers
from benchmarks.record import Case, Run
from benchmarks.space import starting_points

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def play(case: Case) -> Run | None:
    """One run from the starting points to the last evaluation; ``None`` if it is not supported."""
    problem = problems.get(case.problem)
    points = starting_points(problem.space, case.seed)[: case.n_evals]
    values = [problem.value(params) for params in points]
    recommended: dict[str, float] = {}
    seconds: list[float] = []
    error = ""
    checkpoints = {round(case.n_evals * part) for part in (0.25, 0.5, 0.75, 1.0)}
    try:
        solver = solvers.make(case.solver, problem, case.seed, case.n_evals)
        solver.add(points, [problem.observe(v, case.seed, i) for i, v in enumerate(values)])
        for index in range(len(points), case.n_evals):
            start = process_time()
            params = solver.ask()
            asked = process_time()
            values.append(problem.value(params))
            observed = problem.observe(values[-1], case.seed, index)
            tell = process_time()
            solver.tell(params, observed)
            seconds.append(process_time() - tell + asked - start)
            if problem.noisy and index + 1 in checkpoints:
                recommended[str(index + 1)] = problem.value(solver.recommend())
    except solvers.Unsupported:
        return None
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Run(
        problem=case.problem,
        solver=case.solver.label,
        seed=case.seed,
        n_evals=case.n_evals,
        version=case.solver.version,
        n_initial=len(points),
        optimum=problem.optimum,
        noise_sd=problem.noise_sd,
        values=values,
        recommended=recommended,
        seconds=seconds,
        error=error,
    )


def run(cases: Iterable[Case], jobs: int, output: Path, peers: Path | None) -> list[Run]:
    """All the runs, in the order of the cases.

    Results of peers are read from the file ``peers``, if given, where it has them and added to it
    where it has not; they depend on the version of the library. Everything is written to
    ``output`` as it comes.
    """
    cases = list(cases)
    known = {old.key: old for old in record.read(peers)} if peers else {}
    done = {c: known[c.key] for c in cases if c.solver.is_peer and c.key in known}
    record.append(output, done.values())
    missing = [c for c in cases if c not in done]
    print(f"{len(done)} runs of peers read from the cache, {len(missing)} to do", file=sys.stderr)
    for count, (case, result) in enumerate(_play_all(missing, jobs), start=1):
        print(f"[{count}/{len(missing)}] {_one_line(case, result)}", file=sys.stderr, flush=True)
        if result is not None:
            done[case] = result
            record.append(output, [result])
            if peers and case.solver.is_peer and not result.error:
                record.append(peers, [result])
    return [done[c] for c in cases if c in done]


def one_thread_pool(jobs: int) -> ProcessPoolExecutor:
    """Worker processes that are told to use one thread before they import anything."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # numerical warnings of the peers, thousands in a campaign


def _play_all(cases: list[Case], jobs: int) -> Iterator[tuple[Case, Run | None]]:
    with one_thread_pool(jobs) as pool:
        futures = {pool.submit(play, case): case for case in cases}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _one_line(case: Case, result: Run | None) -> str:
    end = "not supported" if result is None else result.error or f"{result.final:.6g}"
    return f"{case.problem} {case.solver.label} seed {case.seed}: {end}"
