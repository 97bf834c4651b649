"""What torch is set to while we compute, whatever the user has set it to."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def own_torch_settings() -> Iterator[None]:
    """One thread, float64, gradients, the CPU; everything is put back afterwards.

    One thread is faster for small matrices, and gives the same sums on a machine of any size. The
    default type decides how Sobol' points are rounded.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.set_num_threads, threads)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
