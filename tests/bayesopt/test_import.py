"""The front door: what `import bayesopt` loads and offers, and the examples in the docstrings."""

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import bayesopt

PACKAGE = Path(bayesopt.__file__).parent
MODULES = ["bayesopt"] + [m.name for m in walk_packages([str(PACKAGE)], "bayesopt.")]


def loaded_after(statement):
    """Names in `sys.modules` of a fresh interpreter after one statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_loads_no_library():
    loaded = loaded_after("import bayesopt; dir(bayesopt)")
    assert "bayesopt" in loaded
    assert not loaded & {"torch", "scipy", "numpy", "botorch", "gpytorch", "matplotlib"}


@pytest.mark.parametrize("room", ["space", "trial", "parameter"])
def test_spaces_and_trials_do_without_torch_and_scipy(room):
    loaded = loaded_after(f"import bayesopt.{room}")
    assert not loaded & {"torch", "scipy", "botorch", "gpytorch", "matplotlib"}


def test_a_space_from_the_front_door_does_without_torch():
    loaded = loaded_after("import bayesopt as bo; bo.Space(x=bo.Float(0, 1)); bo.Trial(0, {})")
    assert "numpy" in loaded and "torch" not in loaded


@pytest.mark.parametrize("name", bayesopt.__all__)
def test_every_name_resolves_to_what_it_says(name):
    value = getattr(bayesopt, name)
    assert value.__name__ == name
    assert value.__module__.startswith("bayesopt.")
    assert inspect.getdoc(value)
    assert name in dir(bayesopt)


def test_the_stub_offers_the_same_names_from_the_same_rooms():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    offered = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name  # a re-export, as type checkers want it
                offered[alias.name] = node.module
    assert sorted(offered) == bayesopt.__all__
    for name, module in offered.items():
        assert getattr(bayesopt, name).__module__ == module


def test_a_star_import_brings_every_name():
    names = {}
    exec("from bayesopt import *", names)
    assert set(bayesopt.__all__) <= set(names)


def examples_of(module):
    """Doctests of everything that is defined in a module, through wrappers."""
    finder = doctest.DocTestFinder(recurse=True, exclude_empty=True)
    own = {
        name: inspect.unwrap(value)
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isroutine(value))
        and value.__module__ == module.__name__
    }
    tests = finder.find(module.__doc__ or "", module.__name__, module=False, globs=vars(module))
    for name, value in own.items():
        tests += finder.find(value, name, module=False, globs=dict(vars(module)))
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = import_module(name)
    tests = examples_of(module)
    assert bool(tests) == (">>> " in inspect.getsource(module))
    for test in tests:
        outcome = doctest.DocTestRunner(verbose=False).run(test)
        assert outcome.attempted > 0 and outcome.failed == 0, test.name


def test_the_main_doors_have_examples():
    documented = {test.name for name in MODULES for test in examples_of(import_module(name))}
    assert {"minimize", "Study", "Space"} <= documented
