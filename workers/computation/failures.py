"""From an exception in the child to the problem its supervisor reports, and whether to try again.

Owns the judgement: wrong input fails the job at once, since trying again gives the same answer;
a machine that ran out of memory or whose device broke is worth another attempt elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from typing import Final

import torch

from service.domain.problems import KINDS, Problem
from service.programs import ProgramRefused
from workers.engine.errors import EngineError, MemoryExceeded
from workers.program.architectures import ArchitectureUnusable
from workers.protocol import Failed, ToldProblem

#: The engine's codes in the words of the catalogue.
_ENGINE_CODES: Final[Mapping[str, str]] = {
    "parameters_invalid": "weights_invalid",
    "precision_unavailable": "not_supported",
    "input_invalid": "incompatible_inputs",
    "memory_exceeded": "out_of_memory",
}
#: PyTorch raises these as plain RuntimeErrors.
_ALLOCATORS_WORDS: Final = ("std::bad_alloc", "can't allocate memory", "out of memory")
_DETAIL_CHARACTERS: Final = 2000
#: The folders before a file's name.
_FOLDERS: Final = re.compile(r"(?<![\w.])/(?:[\w.+@-]+/)+")


def judge(error: Exception) -> Failed:
    """What to say of an exception, without its traceback, and what to do about it."""
    if isinstance(error, Problem):
        return Failed(problem=ToldProblem.of(error), retry=False)
    if _lacks_memory(error):
        detail = str(error) or "the memory does not suffice"
        return _failure("out_of_memory", detail, retry=True, broken=True)
    if isinstance(error, EngineError):
        code = _ENGINE_CODES.get(error.code, error.code)
        return _failure(code if code in KINDS else "computation_failed", error.detail)
    if isinstance(error, ArchitectureUnusable):
        return _failure(error.code, error.detail)
    if isinstance(error, ProgramRefused):
        return _failure("program_refused", str(error))
    if any(words in str(error) for words in _ALLOCATORS_WORDS):
        return _failure("out_of_memory", str(error), retry=True, broken=True)
    # callers learn what went wrong, not where this machine keeps things
    text = _FOLDERS.sub("", f"{type(error).__name__}: {error}")
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in text or "cuDNN" in text:
        # the device's context is unusable from here on; another process may fare better
        return _failure("computation_failed", text, retry=True, broken=True)
    if isinstance(error, OSError):
        return _failure("internal_error", text, retry=True)
    return _failure("computation_failed", text)


def _lacks_memory(error: Exception) -> bool:
    """Whatever it was refused to: a tensor, a file's mapping, Python itself."""
    if isinstance(error, MemoryExceeded | MemoryError | torch.OutOfMemoryError):
        return True
    # neither the CPU's allocator nor the mapping of files has an exception of its own
    told = os.strerror(errno.ENOMEM)
    return isinstance(error, RuntimeError | OSError) and told in str(error)


def _failure(code: str, detail: str, *, retry: bool = False, broken: bool = False) -> Failed:
    problem = Problem(code, detail[:_DETAIL_CHARACTERS])
    return Failed(problem=ToldProblem.of(problem), retry=retry, broken=broken)
