"""One thread a test process: small matrices gain nothing from more; `pytest -n` runs several."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
