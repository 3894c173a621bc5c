# ruff: noqa: E501
"""What every integer argument of every allowed operator is, and how far it may go.

Owns the table, one line for each operator with integers, and the bounds of each kind. The bounds
hold for literals, when a graph is checked, and for sizes that a graph computes, before an operator
sees them. A test holds the table against the operators' schemas.

    dim     names a dimension; the operator holds it against its tensor
    size    of the result: a bound on each, and on their product
    told    a size that the input has already: must be the input's own, since a kernel may believe it
    window  kernels, strides, paddings, dilations, groups
    factor  by which a tensor grows: a bound on their product
    index   a place along a dimension, which the operator holds against its tensor
    count   how many pieces, or how many are taken of a dimension, which is as above
    shift   any number means something: an offset, a number of places, a class that is left out
    choice  one of few, which a kernel may believe
    path    in which order products are formed
    unread  dropped by the reader, or never an integer there
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from service.programs import limits

#: `operator parameter:kind …`
KINDS: Final = """
conv1d.default stride:window padding:window dilation:window groups:window
conv1d.padding stride:window dilation:window groups:window
conv2d.default stride:window padding:window dilation:window groups:window
conv2d.padding stride:window dilation:window groups:window
conv3d.default stride:window padding:window dilation:window groups:window
conv3d.padding stride:window dilation:window groups:window
conv_transpose1d.default stride:window padding:window output_padding:window groups:window dilation:window
conv_transpose2d.input stride:window padding:window output_padding:window groups:window dilation:window
conv_transpose3d.input stride:window padding:window output_padding:window groups:window dilation:window
convolution.default stride:window padding:window dilation:window output_padding:window groups:window
einsum.default path:path
tensordot.default dims_self:dim dims_other:dim
linalg_vector_norm.default dim:dim
linalg_vecdot.default dim:dim
norm.ScalarOpt_dim dim:dim
frobenius_norm.dim dim:dim
cosine_similarity.default dim:dim
cdist.default compute_mode:choice
embedding.default padding_idx:shift
one_hot.default num_classes:size
layer_norm.default normalized_shape:told
group_norm.default num_groups:window
rms_norm.default normalized_shape:told
native_layer_norm.default normalized_shape:told
native_group_norm.default N:told C:told HxW:told group:window
max_pool1d.default kernel_size:window stride:window padding:window dilation:window
max_pool2d.default kernel_size:window stride:window padding:window dilation:window
max_pool3d.default kernel_size:window stride:window padding:window dilation:window
avg_pool1d.default kernel_size:window stride:window padding:window
avg_pool2d.default kernel_size:window stride:window padding:window divisor_override:shift
avg_pool3d.default kernel_size:window stride:window padding:window divisor_override:shift
adaptive_avg_pool1d.default output_size:size
adaptive_avg_pool2d.default output_size:size
adaptive_avg_pool3d.default output_size:size
_adaptive_avg_pool2d.default output_size:size
_adaptive_avg_pool3d.default output_size:size
adaptive_max_pool1d.default output_size:size
adaptive_max_pool2d.default output_size:size
max_pool2d_with_indices.default kernel_size:window stride:window padding:window dilation:window
max_pool1d_with_indices.default kernel_size:window stride:window padding:window dilation:window
glu.default dim:dim
softmax.int dim:dim
log_softmax.int dim:dim
_softmax.default dim:dim
_log_softmax.default dim:dim
logsumexp.default dim:dim
round.decimals decimals:shift
special_log_softmax.default dim:dim
special_softmax.default dim:dim
sum.dim_IntList dim:dim
mean.dim dim:dim
prod.dim_int dim:dim
amax.default dim:dim
amin.default dim:dim
max.dim dim:dim
min.dim dim:dim
argmax.default dim:dim
argmin.default dim:dim
var.dim dim:dim
var.correction dim:dim
std.dim dim:dim
std.correction dim:dim
var_mean.dim dim:dim
var_mean.correction dim:dim
std_mean.dim dim:dim
std_mean.correction dim:dim
any.dim dim:dim
any.dims dim:dim
all.dim dim:dim
cumsum.default dim:dim
cumprod.default dim:dim
logcumsumexp.default dim:dim
sort.default dim:dim
argsort.default dim:dim
topk.default k:count dim:dim
count_nonzero.default dim:dim
view.default size:size
reshape.default shape:size
_unsafe_view.default size:size
flatten.using_ints start_dim:dim end_dim:dim
unflatten.int dim:dim sizes:size
squeeze.dim dim:dim
squeeze.dims dim:dim
unsqueeze.default dim:dim
squeeze_.dim dim:dim
unsqueeze_.default dim:dim
transpose.int dim0:dim dim1:dim
transpose_.default dim0:dim dim1:dim
permute.default dims:dim
movedim.int source:dim destination:dim
movedim.intlist source:dim destination:dim
swapaxes.default axis0:dim axis1:dim
swapdims.default dim0:dim dim1:dim
expand.default size:size
broadcast_to.default size:size
repeat.default repeats:factor
repeat_interleave.self_int repeats:factor dim:dim output_size:told
tile.default dims:factor
cat.default dim:dim
concat.default dim:dim
concatenate.default dim:dim
stack.default dim:dim
chunk.default chunks:count dim:dim
split.Tensor split_size:count dim:dim
split.sizes split_size:count dim:dim
split_with_sizes.default split_sizes:count dim:dim
unsafe_split.Tensor split_size:count dim:dim
unsafe_chunk.default chunks:count dim:dim
tensor_split.sections sections:count dim:dim
unbind.int dim:dim
slice.Tensor dim:dim start:index end:index step:index
select.int dim:dim index:index
narrow.default dim:dim start:index length:count
index_select.default dim:dim
gather.default dim:dim
take_along_dim.default dim:dim
select_scatter.default dim:dim index:index
slice_scatter.default dim:dim start:index end:index step:index
scatter.src dim:dim
scatter.value dim:dim
scatter_add.default dim:dim
scatter_reduce.two dim:dim
index_add.default dim:dim
diagonal.default offset:shift dim1:dim dim2:dim
diag.default diagonal:shift
tril.default diagonal:shift
triu.default diagonal:shift
flip.default dims:dim
roll.default shifts:shift dims:dim
rot90.default k:shift dims:dim
pixel_shuffle.default upscale_factor:factor
pixel_unshuffle.default downscale_factor:window
channel_shuffle.default groups:window
unfold.default dimension:dim size:window step:window
im2col.default kernel_size:window dilation:window padding:window stride:window
pad.default pad:window
constant_pad_nd.default pad:window
reflection_pad1d.default padding:window
reflection_pad2d.default padding:window
replication_pad1d.default padding:window
replication_pad2d.default padding:window
_pad_circular.default pad:window
upsample_nearest1d.vec output_size:size
upsample_nearest2d.vec output_size:size
upsample_nearest3d.vec output_size:size
upsample_linear1d.vec output_size:size
upsample_bilinear2d.vec output_size:size
upsample_bicubic2d.vec output_size:size
upsample_trilinear3d.vec output_size:size
_upsample_nearest_exact2d.vec output_size:size
_upsample_bilinear2d_aa.vec output_size:size
upsample_nearest1d.default output_size:size
upsample_nearest2d.default output_size:size
upsample_linear1d.default output_size:size
upsample_bilinear2d.default output_size:size
upsample_bicubic2d.default output_size:size
grid_sampler.default interpolation_mode:choice padding_mode:choice
grid_sampler_2d.default interpolation_mode:choice padding_mode:choice
affine_grid_generator.default size:size
zeros.default size:size
ones.default size:size
full.default size:size
new_zeros.default size:size
new_ones.default size:size
new_full.default size:size
linspace.default steps:size
eye.default n:size
eye.m n:size m:size
tril_indices.default row:size col:size offset:shift
triu_indices.default row:size col:size offset:shift
to.prim_Device dtype:unread
to.prim_dtype dtype:unread
cross_entropy_loss.default reduction:choice ignore_index:shift
nll_loss.default reduction:choice ignore_index:shift
nll_loss_nd.default reduction:choice ignore_index:shift
nll_loss2d.default reduction:choice ignore_index:shift
nll_loss_forward.default reduction:choice ignore_index:shift
nll_loss2d_forward.default reduction:choice ignore_index:shift
mse_loss.default reduction:choice
l1_loss.default reduction:choice
smooth_l1_loss.default reduction:choice
huber_loss.default reduction:choice
binary_cross_entropy.default reduction:choice
binary_cross_entropy_with_logits.default reduction:choice
kl_div.default reduction:choice
poisson_nll_loss.default reduction:choice
hinge_embedding_loss.default reduction:choice
margin_ranking_loss.default reduction:choice
soft_margin_loss.default reduction:choice
cosine_embedding_loss.default reduction:choice
triplet_margin_loss.default reduction:choice
multi_margin_loss.default reduction:choice
diff.default n:count dim:dim
sym_size.int dim:dim
_assert_tensor_metadata.default size:unread stride:unread
sym_constrain_range_for_size.default min:unread max:unread
sym_constrain_range.default min:unread max:unread
"""

#: The numbers that a choice may be. Others fall through a kernel's cases.
_CHOICES: Final[Mapping[str, frozenset[int]]] = {
    "reduction": frozenset({0, 1, 2}),
    "interpolation_mode": frozenset({0, 1, 2}),
    "padding_mode": frozenset({0, 1, 2}),
    "compute_mode": frozenset({0, 1, 2}),
}
#: From which to which each kind's numbers go.
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "dim": (-limits.MAX_DIMENSIONS, limits.MAX_DIMENSIONS - 1),
    "size": (-1, limits.MAX_TENSOR_ELEMENTS),
    "told": (0, limits.MAX_TENSOR_ELEMENTS),
    "window": (-limits.MAX_WINDOW, limits.MAX_WINDOW),
    "factor": (-1, limits.MAX_ENLARGEMENT),
    "index": (limits.INT64_MIN, limits.INT64_MAX),
    "count": (-1, limits.MAX_TENSOR_ELEMENTS),
    "shift": (-limits.MAX_LITERAL, limits.MAX_LITERAL),
    "path": (0, limits.MAX_LIST),
}


class IntegerTooLarge(ValueError):
    """An integer, or a product of some, that no network has. The text says which."""


@cache
def kinds() -> Mapping[str, Mapping[str, str]]:
    """The kind of each integer parameter, by `aten.name.overload` and name."""
    found = {}
    for line in KINDS.split("\n"):
        if line:
            operator, *parameters = line.split(" ")
            found[f"aten.{operator}"] = dict(item.split(":") for item in parameters)
    return found


def check(
    operator: str, name: str, numbers: Iterable[int], *, most: int = limits.MAX_TENSOR_ELEMENTS
) -> None:
    """Holds one integer argument, a number or a list's, against the bounds of its kind.

    Args:
        most: that sizes may multiply to.
    Raises:
        IntegerTooLarge: it breaks one.
    """
    kind = kinds().get(operator, {}).get(name)
    if kind is None or kind == "unread":
        return
    product = 1
    for number in numbers:
        if kind == "choice":
            if number not in _CHOICES[name]:
                raise IntegerTooLarge(
                    f"{operator}: {name!r} is {number}, not one of {sorted(_CHOICES[name])}"
                )
            continue
        low, high = _RANGES[kind]
        if not low <= number <= high:
            raise IntegerTooLarge(
                f"{operator}: {name!r} is {number}; it may be from {low} to {high}"
            )
        product *= max(number, 1)
    if kind == "factor":
        most = limits.MAX_ENLARGEMENT
    if kind in {"size", "told", "factor"} and product > most:
        raise IntegerTooLarge(f"{operator}: the product of {name!r} is {product}; it may be {most}")
