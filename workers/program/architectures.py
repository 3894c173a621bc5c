"""Named architectures: networks that a package installed beside the workers brings along.

A package registers them as entry points of the group `lossatlas.architectures`. Each is an
`nn.Module`, or a callable that makes one from the keyword arguments in a model's `config`. The
module has an attribute `example_inputs`, one tensor or a tuple of them in `forward`'s order, first
dimension = samples: they tell the inputs' types and sizes. `forward` returns one tensor.

Owns building them and making the engine's network of them. This is code of the installation's
owner: no upload can name anything but an entry point.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from service.programs.filters import of_transposed_convolution
from service.programs.graph import Filters, InputSpec, TensorSpec
from workers.program import derivatives

GROUP: Final = "lossatlas.architectures"

_NORMALISATIONS: Final = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)
_TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class ArchitectureUnusable(Exception):
    """There is no such architecture, or not with this configuration.

    Attributes:
        code: `architecture_unknown` or `not_supported`, of the service's catalogue of problems.
        detail: what is wrong and what would be right.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ArchitectureNetwork:
    """A module's function of parameters, buffers and inputs; its own weights are never used.

    Attributes are those of `workers.engine.network.Network`. Buffers that a module does not save
    with its weights are part of the function.
    """

    def __init__(self, module: nn.Module, inputs: tuple[InputSpec, ...]) -> None:
        self._module = module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        saved = set(module.state_dict(keep_vars=True))
        gains = _names(module, _NORMALISATIONS)
        flipped = {n for n in _names(module, _TRANSPOSED) if n.rpartition(".")[2] == "weight"}
        filters = _filters(module)
        self.inputs = inputs
        self.parameters = {
            name: TensorSpec(
                name,
                tuple(tensor.shape),
                _name(tensor.dtype),
                "parameter",
                normalisation=name in gains,
                transposed=name in flipped,
                filters=filters.get(name),
            )
            for name, tensor in module.named_parameters()
        }
        self.initial_buffers = {n: b for n, b in module.named_buffers() if n in saved}
        self.buffers = {
            name: TensorSpec(name, tuple(tensor.shape), _name(tensor.dtype), "buffer")
            for name, tensor in self.initial_buffers.items()
        }
        self.normalisation_parameters = frozenset(gains & set(self.parameters))
        self.filters = {n: f for n, f in filters.items() if n in self.parameters}
        self.input_names = tuple(spec.name for spec in inputs)
        self.input_dtypes = tuple(spec.dtype for spec in inputs)
        self._constants = {n: b for n, b in module.named_buffers() if n not in saved}
        self._placed: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Tensor
    ) -> Tensor:
        """The outputs; operators in formulations that have all derivatives."""
        with sdpa_kernel(SDPBackend.MATH), _Differentiable():
            return self._call(parameters, buffers, inputs)

    def at(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
    ) -> Callable[..., Tensor]:
        if not torch.is_inference_mode_enabled():
            return lambda *inputs: self(parameters, buffers, *inputs)
        return lambda *inputs: self._call(parameters, buffers, inputs)

    def _call(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        inputs: tuple[Tensor, ...],
    ) -> Tensor:
        tensors = {**self._constants_beside(parameters), **parameters, **buffers}
        outputs = functional_call(self._module, tensors, inputs)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"forward returns a {type(outputs).__name__}, not one tensor")
        return outputs

    def _constants_beside(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Unsaved buffers in the type and on the device of the parameters."""
        floating = next((t for t in parameters.values() if t.is_floating_point()), None)
        if not self._constants or floating is None:
            return self._constants
        key = (floating.dtype, floating.device)
        if key not in self._placed:
            with torch.inference_mode(False), torch.no_grad():
                self._placed[key] = {
                    n: t.to(key[1], key[0] if t.is_floating_point() else t.dtype)
                    for n, t in self._constants.items()
                }
        return self._placed[key]


class _Differentiable(TorchFunctionMode):
    """Functions that a module calls and that have no second derivative, by forms that have one."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        form = _FORMS.get(func)
        return (form or func)(*args, **(kwargs or {}))


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    result = derivatives.hardsigmoid(input)
    return input.copy_(result) if inplace else result


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    return derivatives.cdist(x1, x2, p)


_FORMS: Final[Mapping[Callable[..., Any], Callable[..., Tensor]]] = {
    functional.hardsigmoid: _hardsigmoid,
    torch._C._nn.hardsigmoid: _hardsigmoid,
    torch.cdist: _cdist,
}


def build_architecture(name: str, config: Mapping[str, Any]) -> ArchitectureNetwork:
    """The network that an entry point makes of `config`.

    Raises:
        ArchitectureUnusable: there is none of this name, it takes other arguments, or what it
            makes is no network.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        have = ", ".join(sorted(found)) or "none"
        raise ArchitectureUnusable(
            "architecture_unknown", f"no architecture is named {name!r}; installed here: {have}"
        )
    module = _made(name, _loaded(found[name]), config)
    return ArchitectureNetwork(module, _inputs_of(name, module))


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ArchitectureUnusable(
            "architecture_unknown",
            f"the architecture {entry.name!r} is registered as {entry.value!r}, which cannot be "
            f"imported: {error}",
        ) from error


def _made(name: str, maker: Any, config: Mapping[str, Any]) -> nn.Module:
    if isinstance(maker, nn.Module):
        if config:
            raise ArchitectureUnusable(
                "not_supported", f"the architecture {name!r} takes no arguments; leave out `config`"
            )
        return maker
    _check_arguments(name, maker, config)
    try:
        module = maker(**config)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ArchitectureUnusable(
            "not_supported",
            f"the architecture {name!r} cannot be built from this `config`: {error}",
        ) from error
    if not isinstance(module, nn.Module):
        raise ArchitectureUnusable(
            "not_supported", f"{name!r} makes a {type(module).__name__}, not a torch.nn.Module"
        )
    return module


def _check_arguments(name: str, maker: Any, config: Mapping[str, Any]) -> None:
    if not callable(maker):
        raise ArchitectureUnusable(
            "not_supported", f"{name!r} is neither a torch.nn.Module nor makes one"
        )
    try:
        signature = inspect.signature(maker)
    except ValueError:
        return
    try:
        signature.bind(**config)
    except TypeError as error:
        accepted = ", ".join(
            str(parameter).partition(":")[0].partition("=")[0].strip()
            + ("" if parameter.default is parameter.empty else f" (default {parameter.default!r})")
            for parameter in signature.parameters.values()
        )
        raise ArchitectureUnusable(
            "not_supported",
            f"the architecture {name!r}: {error}; its arguments are: {accepted or 'none'}",
        ) from None


def _inputs_of(name: str, module: nn.Module) -> tuple[InputSpec, ...]:
    examples = getattr(module, "example_inputs", None)
    if isinstance(examples, Tensor):
        examples = (examples,)
    if (
        not isinstance(examples, tuple | list)
        or not examples
        or not all(isinstance(e, Tensor) and e.dim() > 0 for e in examples)
    ):
        raise ArchitectureUnusable(
            "not_supported",
            f"the module of {name!r} needs an attribute `example_inputs`: one tensor or a tuple of "
            "them in forward's order, first dimension = samples",
        )
    names = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    names += [f"input_{index}" for index in range(len(names), len(examples))]
    return tuple(
        InputSpec(
            label,
            _name(example.dtype),
            (None, *example.shape[1:]),
            (2, *example.shape[1:]),
        )
        for label, example in zip(names, examples, strict=False)
    )


def _names(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if isinstance(child, kinds)
        for name, _ in child.named_parameters(recurse=False)
    }


def _filters(module: nn.Module) -> dict[str, Filters]:
    """Those of transposed convolutions, where no other module of PyTorch's has the same weight."""
    uses: dict[int, list[tuple[str, nn.Module]]] = {}
    for prefix, child in module.named_modules():
        weight = child._parameters.get("weight")
        if weight is not None:
            uses.setdefault(id(weight), []).append((f"{prefix}.weight".lstrip("."), child))
    found = {}
    for several in uses.values():
        read = {
            of_transposed_convolution(child.weight.shape, child.groups)
            if isinstance(child, _TRANSPOSED)
            else None
            for _, child in several
        }
        filters = read.pop()
        if not read and filters is not None:
            found.update({name: filters for name, _ in several})
    return found


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
