"""The engine's refusals: each has a stable code and a sentence that names the value and the fix.

Owns the exception types that leave `workers.engine`; the codes are those of the service's catalogue
of problems, but nothing here knows HTTP.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of every refusal of the engine. `code` is stable, `detail` is for people."""

    code = "computation_failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InputInvalid(EngineError, ValueError):
    """Something that the caller gave cannot be used; asking again gives the same answer."""

    code = "incompatible_inputs"


class ParametersInvalid(InputInvalid):
    """Tensors given for a network lack names, have extra ones, or have wrong shapes."""

    code = "weights_invalid"


class DirectionInvalid(InputInvalid):
    """A direction lacks tensors, has unknown ones, or has wrong shapes."""

    code = "direction_invalid"


class DatasetInvalid(InputInvalid):
    """The inputs of a data set are missing, empty, or of unequal lengths."""

    code = "dataset_invalid"


class TargetsInvalid(InputInvalid):
    """Targets do not fit the loss and the network's outputs."""

    code = "targets_invalid"


class PrecisionUnavailable(InputInvalid):
    """The precision asked for does not exist on this device."""

    code = "not_supported"


class RecalibrationUnsupported(InputInvalid):
    """The network's running statistics cannot be recomputed."""

    code = "not_supported"


class CurvatureUnsupported(InputInvalid):
    """The program holds an operator without the derivatives that curvature needs."""

    code = "not_supported"


class CurvatureNotFinite(EngineError, ArithmeticError):
    """A derivative holds NaN or infinities: there is no curvature to speak of at this point."""


class FormsDiffer(EngineError):
    """The form of the program that is differentiated computes another loss than the program."""

    code = "forms_differ"


class MemoryExceeded(EngineError):
    """The device's memory did not suffice. `batch_size` is the one that failed."""

    code = "out_of_memory"

    def __init__(self, detail: str, *, batch_size: int) -> None:
        super().__init__(detail)
        self.batch_size = batch_size
