/*
 * table.c - the table of kernels of one instruction set and real type.
 */
#include "real.h"

/* clang-format off */
#define EBB_KERNELS(X) \
	X(unary) X(binary) X(binary_strided) X(where_strided) X(compare_strided) X(fill) X(axpy) X(from_u8) \
	X(from_f32) X(from_f64) X(reduce) X(norm) X(extreme) X(cumsum) X(logsumexp) X(logsumexp_slope) X(softmax) X(log_softmax) \
	X(softmax_grad) X(log_softmax_grad) X(cross_entropy) X(cross_entropy_grad) \
	X(index_select) X(index_select_acc) X(gather) X(gather_acc) X(gemm_workspace) \
	X(gemm) X(outer_sum) X(conv_workspace) X(conv_forward) X(conv_grad_input) X(conv_grad_weight) \
	X(maxpool) X(maxpool_goes_over) X(maxpool_scatter) X(maxpool_gather) X(avgpool) X(avgpool_grad) \
	X(maxpool_put) X(upsample) X(upsample_grad) X(window_sums) X(window_norms) \
	X(batchnorm_stats) X(scale_shift) X(scale_shift_relu) X(batchnorm_sums) X(batchnorm_gx) \
	X(rownorm) X(rownorm_grad) X(rownorm_sums) X(uniform) \
	X(normal) X(dropout) X(sgd) X(adam) X(rmsprop) X(stats) \
	X(blend_rows) X(blend_pixels)
/* clang-format on */

#define DECLARE(name) extern EBB_DECLARE(name);
EBB_KERNELS(DECLARE)

extern const ebb_kernels EBB_NAME(kernels);
const ebb_kernels EBB_NAME(kernels) = {.isa = EBB_STRING(EBB_ISA),
	.real_size = sizeof(real),
#define ENTRY(name) .name = EBB_NAME(name),
	EBB_KERNELS(ENTRY)};
