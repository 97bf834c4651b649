"""What the fork server imports once, so that the process of a trial starts in milliseconds.

Only the fork server imports this: NumPy's BLAS must load with one thread, since a process that has
several cannot fork safely. The environment of a trial comes from the process that starts it.
"""

import os
import sys
from importlib import import_module

if "numpy" not in sys.modules:  # BLAS reads them when it is loaded
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"

import_module("numpy.random")
import_module("bayesopt.execution.fork_server")
import_module("bayesopt.execution.trial_process")
