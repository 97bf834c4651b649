"""Run benchmarks and print their tables: ``python -m benchmarks --quick``."""

import argparse
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from benchmarks import presets, problems, record, suggestion_time
from benchmarks.presets import Task
from benchmarks.record import Case
from benchmarks.report import header, report
from benchmarks.run import run
from benchmarks.solvers import LIBRARIES, OURS, Spec

OUTPUT = Path(__file__).parent / "output"
EXAMPLES = """examples:
  python -m benchmarks --quick
  python -m benchmarks --acceptance --jobs 2
  python -m benchmarks --speed --sizes 20 50 100
  python -m benchmarks --problems branin levy4+noise0.5 --n-evals 40 --seeds 0-4
  python -m benchmarks --bbob 3 --instances 1-2 --n-evals 50 --solvers bayesopt optuna random
  python -m benchmarks --tuning --solvers optuna --variant c2='{"search": {"truncate": 2}}'
  python -m benchmarks --read benchmarks/output/tuning-*.jsonl
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    args = parser.parse_args(argv)
    tasks = _tasks(parser, args)
    specs = [Spec(name, name) for name in args.solvers or _default_solvers(args)]
    specs += [_variant(parser, text) for text in args.variant]
    stem = args.output / f"{_title(args)}-{datetime.now():%Y%m%d-%H%M%S}"
    parts = [header(_title(args))]
    runs = [saved for path in args.read for saved in record.read(path)]
    if tasks:
        cases = [Case(t.problem, spec, t.seed, t.n_evals) for spec in specs for t in tasks]
        peers = None if args.fresh else args.output / "peers.jsonl"
        runs += run(cases, args.jobs, stem.with_suffix(".jsonl"), peers)
    if runs:
        parts.append(report(runs, args.reference))
    if args.speed or args.quick:
        sizes = args.sizes or (suggestion_time.SIZES[:4] if args.quick else suggestion_time.SIZES)
        timed = [spec for spec in specs if spec.library != "random"]
        timings = suggestion_time.measure_all(timed, sizes)
        ours = next((spec.label for spec in specs if not spec.is_peer), args.reference)
        parts.append(suggestion_time.table(timings, ours))
    text = "\n\n".join(parts) + "\n"
    args.output.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(text)
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to run (one of)").add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="ten minutes on two cores")
    what.add_argument("--acceptance", action="store_true", help="what a release must not lose on")
    what.add_argument("--noisy", action="store_true", help="three functions, noise 1, 5 and 20 %%")
    what.add_argument("--tuning", action="store_true", help="24 BBOB functions, d=2 and d=5")
    what.add_argument("--bbob", type=int, metavar="DIM", help="24 BBOB functions in DIM dimensions")
    what.add_argument("--problems", nargs="+", default=[], metavar="NAME", help="by name")
    what.add_argument("--speed", action="store_true", help="CPU seconds per suggestion only")
    what.add_argument(
        "--read", nargs="+", type=Path, default=[], metavar="FILE", help="tables of saved runs"
    )
    parser.add_argument(
        "--solvers", nargs="*", choices=LIBRARIES, help="default: all; in --tuning ours and optuna"
    )
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME=JSON",
        help="another of ours, its policy changed as the JSON object says; may be repeated",
    )  # fmt: skip
    parser.add_argument("--reference", default="optuna", help="the solver to compare with")
    parser.add_argument("--seeds", type=_numbers, metavar="A-B", help="for example 0-9")
    parser.add_argument("--n-evals", type=int, default=50, help="for --problems and --bbob")
    parser.add_argument("--instances", type=_numbers, default=[1, 2], metavar="A-B")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="for --speed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--fresh", action="store_true", help="run peers again, cached or not")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the results")
    return parser


def _tasks(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[Task]:
    seeds = {} if args.seeds is None else {"seeds": args.seeds}
    if args.quick:
        return presets.quick(**seeds)
    if args.acceptance:
        return presets.acceptance(**seeds)
    if args.noisy:
        return presets.noisy(**seeds)
    if args.tuning:
        return presets.tuning(args.instances)
    if args.bbob:
        return presets.bbob(args.bbob, args.instances, args.n_evals)
    if not (args.problems or args.speed or args.read):
        parser.error("nothing to run: give --quick, --speed, --problems or another of --help")
    try:
        for name in args.problems:
            problems.get(name)
    except ValueError as error:
        parser.error(str(error))
    return presets.seeded(dict.fromkeys(args.problems, args.n_evals), args.seeds or range(5))


def _default_solvers(args: argparse.Namespace) -> Sequence[str]:
    return (OURS, "optuna") if args.tuning else LIBRARIES


def _variant(parser: argparse.ArgumentParser, text: str) -> Spec:
    name, equals, policy = text.partition("=")
    if not (name and equals and policy):
        parser.error(f"--variant wants NAME=JSON, but got {text}")
    from benchmarks.solvers.bayesopt import policy_of

    try:
        policy_of(policy)
    except (TypeError, ValueError) as error:
        parser.error(f"--variant {name}: {error}")
    return Spec(name, OURS, policy)


def _title(args: argparse.Namespace) -> str:
    names = ("quick", "acceptance", "noisy", "tuning", "speed", "read")
    chosen = [name for name in names if getattr(args, name)]
    return chosen[0] if chosen else f"bbob-d{args.bbob}" if args.bbob else "problems"


def _numbers(text: str) -> list[int]:
    """``0-2,7`` as [0, 1, 2, 7]."""
    ends = [part.partition("-") for part in text.split(",")]
    return [n for low, _, high in ends for n in range(int(low), int(high or low) + 1)]


if __name__ == "__main__":
    main()
