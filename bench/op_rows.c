/* op_rows.c - the rows of the benchmark ops: kernels over the shapes of the networks that are
 * measured. */
#include "op_rows.h"

#include <stdio.h>
#include <string.h>

/* ---- Convolutions ---------------------------------------------------------------------------- */

static const struct conv_size {
	const char *net;
	int n, in, out, side, kernel, stride, pad, groups;
} CONVS[] = {
	{"LeNet", 128, 1, 6, 28, 5, 1, 2, 1},
	{"LeNet", 128, 6, 16, 14, 5, 1, 0, 1},
	{"CIFAR", 128, 3, 16, 32, 3, 1, 1, 1},
	{"CIFAR", 128, 16, 16, 32, 3, 1, 1, 1},
	{"CIFAR", 128, 16, 32, 32, 3, 2, 1, 1},
	{"CIFAR", 128, 32, 32, 16, 3, 1, 1, 1},
	{"CIFAR", 128, 32, 64, 16, 3, 2, 1, 1},
	{"CIFAR", 128, 64, 64, 8, 3, 1, 1, 1},
	{"ImageNet", 16, 3, 64, 224, 7, 2, 3, 1},
	{"ImageNet", 16, 64, 64, 56, 3, 1, 1, 1},
	{"ImageNet", 16, 64, 128, 56, 3, 2, 1, 1},
	{"ImageNet", 16, 64, 128, 56, 1, 2, 0, 1},
	{"ImageNet", 16, 128, 128, 28, 3, 1, 1, 1},
	{"ImageNet", 16, 256, 256, 14, 3, 1, 1, 1},
	{"ImageNet", 16, 512, 512, 7, 3, 1, 1, 1},
	{"ImageNet", 16, 64, 256, 56, 1, 1, 0, 1},
	{"AlexNet", 32, 3, 64, 224, 11, 4, 2, 1},
	{"AlexNet", 32, 64, 192, 27, 5, 1, 2, 1},
	{"groups", 16, 128, 128, 28, 3, 1, 1, 4},
	{"depthwise", 16, 64, 64, 112, 3, 1, 1, 64},
	{"depthwise", 16, 128, 128, 56, 3, 2, 1, 128},
};
enum { CONV_COUNT = sizeof CONVS / sizeof *CONVS, PASSES = 3 };

static void forward(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->conv_forward(&r->shape.conv, b[0], b[1], NULL, b[2], workspace);
}

static void grad_input(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->conv_grad_input(&r->shape.conv, b[2], b[1], b[0], workspace);
}

static void grad_weight(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->conv_grad_weight(&r->shape.conv, b[0], b[2], b[1], workspace);
}

static void conv_row(int i, const ebb_kernels *k, op_row *r)
{
	static const char *const names[PASSES] = {"forward", "grad input", "grad weight"};
	static void (*const runs[PASSES])(const op_row *, const ebb_kernels *, float **, void *) = {
		[EBB_CONV_FORWARD] = forward,
		[EBB_CONV_GRAD_INPUT] = grad_input,
		[EBB_CONV_GRAD_WEIGHT] = grad_weight};
	const struct conv_size *c = &CONVS[i / PASSES];
	ebb_conv_pass pass = (ebb_conv_pass)(i % PASSES);
	int64_t out = (c->side + 2 * c->pad - c->kernel) / c->stride + 1;
	int64_t weights = (int64_t)c->out * (c->in / c->groups) * c->kernel * c->kernel;
	ebb_conv_shape s = {.n = c->n,
		.c = c->in,
		.h = c->side,
		.w = c->side,
		.o = c->out,
		.kh = c->kernel,
		.kw = c->kernel,
		.oh = out,
		.ow = out,
		.stride_h = c->stride,
		.stride_w = c->stride,
		.dilation_h = 1,
		.dilation_w = 1,
		.pad_top = c->pad,
		.pad_left = c->pad,
		.groups = c->groups};

	snprintf(r->name, sizeof r->name, "conv %s %dx%d/%d %d>%d at %d, %d images: %s", c->net,
		c->kernel, c->kernel, c->stride, c->in, c->out, c->side, c->n, names[pass]);
	r->flops = 2.0 * c->n * (double)(out * out) * (double)weights;
	r->floats[0] = (size_t)c->n * c->in * c->side * c->side;
	r->floats[1] = (size_t)weights;
	r->floats[2] = (size_t)(c->n * c->out * out * out);
	r->workspace = k->conv_workspace(&s, pass);
	r->shape.conv = s;
	r->run = runs[pass];
}

/* ---- Matrix products ------------------------------------------------------------------------- */

static const struct product_size {
	const char *net;
	int m, n, k;
} PRODUCTS[] = {
	{"LeNet fc1", 64, 120, 400},
	{"ResNet-18 fc", 16, 1000, 512},
	{"VGG-11 fc1", 8, 4096, 25088},
	{"AlexNet fc2", 32, 4096, 4096},
	{"square", 256, 256, 256},
	{"square", 1024, 1024, 1024},
};
enum { PRODUCT_COUNT = sizeof PRODUCTS / sizeof *PRODUCTS };

/* The forward pass x w^T of a linear layer, and its gradients gy w and gy^T x. */
static void product_forward(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t m = r->shape.product.m, n = r->shape.product.n, depth = r->shape.product.k;

	k->gemm(false, true, m, n, depth, b[0], depth, b[1], depth, 0, b[2], n, workspace);
}

static void product_grad_input(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t m = r->shape.product.m, n = r->shape.product.n, depth = r->shape.product.k;

	k->gemm(false, false, m, depth, n, b[2], n, b[1], depth, 0, b[0], depth, workspace);
}

static void product_grad_weight(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t m = r->shape.product.m, n = r->shape.product.n, depth = r->shape.product.k;

	k->gemm(true, false, n, depth, m, b[2], n, b[0], depth, 0, b[1], depth, workspace);
}

static void product_row(int i, const ebb_kernels *k, op_row *r)
{
	static const char *const names[PASSES] = {"x w^T", "gy w", "gy^T x"};
	static void (*const runs[PASSES])(const op_row *, const ebb_kernels *, float **, void *) = {
		product_forward, product_grad_input, product_grad_weight};
	const struct product_size *p = &PRODUCTS[i / PASSES];
	size_t m = (size_t)p->m, n = (size_t)p->n, depth = (size_t)p->k;
	size_t workspace[PASSES] = {k->gemm_workspace(p->m, p->n, p->k),
		k->gemm_workspace(p->m, p->k, p->n), k->gemm_workspace(p->n, p->k, p->m)};

	snprintf(r->name, sizeof r->name, "product %s, %d rows, %d>%d: %s", p->net, p->m, p->k,
		p->n, names[i % PASSES]);
	r->flops = 2.0 * (double)(m * n * depth);
	r->floats[0] = m * depth;
	r->floats[1] = n * depth;
	r->floats[2] = m * n;
	r->workspace = workspace[i % PASSES];
	r->shape.product.m = p->m;
	r->shape.product.n = p->n;
	r->shape.product.k = p->k;
	r->run = runs[i % PASSES];
}

/* ---- Kernels whose limit is memory ----------------------------------------------------------- */

static void batchnorm(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t rows = r->shape.matrix.rows, c = r->shape.matrix.columns;
	double *mean = workspace, *rest = mean + c, *std = rest + c;

	k->batchnorm_stats(rows, c, b[0], 1e-5, mean, rest, std);
	k->scale_shift(rows, c, b[0], mean, std, rest, b[1]);
}

static void batchnorm_grad(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t rows = r->shape.matrix.rows, c = r->shape.matrix.columns;
	double *sum_gy = workspace, *sum_gyx = sum_gy + c, *zeros = sum_gyx + c;
	ebb_norm_grad by = {zeros, zeros, zeros, zeros, zeros};

	k->batchnorm_sums(rows, c, b[0], b[1], NULL, zeros, zeros, zeros, sum_gy, sum_gyx);
	k->batchnorm_gx(rows, c, b[0], b[1], NULL, &by, b[2], NULL);
}

/* relu(bn(x) + residual), and its gradients. */
static void batchnorm_relu(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t rows = r->shape.matrix.rows, c = r->shape.matrix.columns;
	double *mean = workspace, *rest = mean + c, *std = rest + c;

	k->batchnorm_stats(rows, c, b[0], 1e-5, mean, rest, std);
	k->scale_shift_relu(rows, c, b[0], b[1], mean, std, rest, b[2]);
}

static void batchnorm_relu_grad(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	int64_t rows = r->shape.matrix.rows, c = r->shape.matrix.columns;
	double *sum_gy = workspace, *sum_gyx = sum_gy + c, *zeros = sum_gyx + c;
	ebb_norm_grad by = {zeros, zeros, zeros, zeros, zeros};

	k->batchnorm_sums(rows, c, b[0], b[1], b[2], zeros, zeros, zeros, sum_gy, sum_gyx);
	k->batchnorm_gx(rows, c, b[0], b[1], b[2], &by, b[3], b[4]);
}

static void relu(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	(void)workspace;
	k->unary(EBB_UNARY_relu, (int64_t)r->floats[0], b[0], b[1], 0, 0);
}

static void relu_grad(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	(void)workspace;
	k->binary(EBB_BINARY_relu_grad, (int64_t)r->floats[0], b[0], b[1], b[2], 0);
}

static void add(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	(void)workspace;
	k->binary(EBB_BINARY_add, (int64_t)r->floats[0], b[0], b[1], b[2], 0);
}

static void maxpool(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->maxpool(&r->shape.pool, b[0], b[1], workspace);
}

/* Reads the positions of the maxima from the workspace, where maxpool has written them. */
static void maxpool_grad(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->maxpool_scatter(&r->shape.pool, b[1], workspace, b[0]);
}

static void cross_entropy(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	k->cross_entropy(
		r->shape.matrix.rows, r->shape.matrix.columns, b[0], workspace, -100, b[1], b[2]);
}

static void sgd(const op_row *r, const ebb_kernels *k, float **b, void *workspace)
{
	ebb_kernel_step step = {
		.n = (int64_t)r->floats[0], .w = b[0], .g = b[1], .m = b[2], .lr = 0.01, .step = 2};

	(void)workspace;
	k->sgd(1, &step, 1, 0.9, false);
}

/* rows x columns values; passes: how often each of them is read or written. */
static const struct memory_size {
	const char *name;
	int rows, columns;
	double passes;
	int buffers; /* buffers of rows x columns values */
	void (*run)(const op_row *r, const ebb_kernels *k, float **b, void *workspace);
} MEMORY[] = {
	{"batch norm, ResNet-20", 128 * 32 * 32, 16, 3, 2, batchnorm},
	{"batch norm's gradient, ResNet-20", 128 * 32 * 32, 16, 5, 3, batchnorm_grad},
	{"batch norm, residual and relu, ResNet-20", 128 * 32 * 32, 16, 4, 3, batchnorm_relu},
	{"their gradients, ResNet-20", 128 * 32 * 32, 16, 8, 5, batchnorm_relu_grad},
	{"batch norm, ResNet-18", 16 * 56 * 56, 64, 3, 2, batchnorm},
	{"batch norm's gradient, ResNet-18", 16 * 56 * 56, 64, 5, 3, batchnorm_grad},
	{"batch norm, residual and relu, ResNet-18", 16 * 56 * 56, 64, 4, 3, batchnorm_relu},
	{"their gradients, ResNet-18", 16 * 56 * 56, 64, 8, 5, batchnorm_relu_grad},
	{"relu, ResNet-20", 128 * 32 * 32, 16, 2, 2, relu},
	{"relu, ResNet-18", 16 * 56 * 56, 64, 2, 2, relu},
	{"relu's gradient, ResNet-18", 16 * 56 * 56, 64, 3, 3, relu_grad},
	{"add, ResNet-18", 16 * 56 * 56, 64, 3, 3, add},
	{"softmax cross-entropy, 10 classes", 4096, 10, 2, 3, cross_entropy},
	{"softmax cross-entropy, 1000 classes", 256, 1000, 2, 3, cross_entropy},
	{"sgd with momentum, ResNet-18", 11689512, 1, 5, 3, sgd},
};
enum { MEMORY_COUNT = sizeof MEMORY / sizeof *MEMORY };

static void memory_row(int i, op_row *r)
{
	const struct memory_size *m = &MEMORY[i];
	size_t n = (size_t)m->rows * (size_t)m->columns;

	snprintf(r->name, sizeof r->name, "%s", m->name);
	r->bytes = m->passes * (double)n * sizeof(float);
	for (int k = 0; k < m->buffers; k++)
		r->floats[k] = n;
	r->shape.matrix.rows = m->rows;
	r->shape.matrix.columns = m->columns;
	/* Three statistics per column, or a label per row: labels of 0. */
	r->workspace = 3 * sizeof(double) * (size_t)(m->rows > m->columns ? m->rows : m->columns);
	r->run = m->run;
}

static const struct pool_size {
	const char *net;
	int n, c, side, kernel, stride, pad;
} POOLS[] = {{"LeNet", 64, 6, 28, 2, 2, 0}, {"2x2", 16, 64, 56, 2, 2, 0},
	{"ResNet-18", 16, 64, 112, 3, 2, 1}};
enum { POOL_COUNT = sizeof POOLS / sizeof *POOLS };

static void pool_row(int i, op_row *r)
{
	const struct pool_size *p = &POOLS[i / 2];
	int64_t out = (p->side + 2 * p->pad - p->kernel) / p->stride + 1;
	bool back = i % 2 == 1;

	r->shape.pool = (ebb_pool_shape){.n = p->n,
		.c = p->c,
		.h = p->side,
		.w = p->side,
		.oh = out,
		.ow = out,
		.kh = p->kernel,
		.kw = p->kernel,
		.stride_h = p->stride,
		.stride_w = p->stride,
		.pad_top = p->pad,
		.pad_left = p->pad,
		.dilation_h = 1,
		.dilation_w = 1};
	snprintf(r->name, sizeof r->name, "max pool%s, %s, %dx%d/%d of %d at %d",
		back ? "'s gradient" : "", p->net, p->kernel, p->kernel, p->stride, p->c, p->side);
	r->floats[0] = (size_t)p->n * p->c * p->side * p->side;
	r->floats[1] = (size_t)(p->n * p->c * out * out);
	/* The values, and one position per maximum. */
	r->bytes = (double)(r->floats[0] + 2 * r->floats[1]) * sizeof(float);
	r->workspace = r->floats[1] * sizeof(int32_t);
	r->prepare = back ? maxpool : NULL;
	r->run = back ? maxpool_grad : maxpool;
}

/* ---- All rows -------------------------------------------------------------------------------- */

bool op_row_at(int i, const ebb_kernels *k, op_row *r)
{
	memset(r, 0, sizeof *r);
	if (i < PASSES * CONV_COUNT)
		conv_row(i, k, r);
	else if ((i -= PASSES * CONV_COUNT) < PASSES * PRODUCT_COUNT)
		product_row(i, k, r);
	else if ((i -= PASSES * PRODUCT_COUNT) < MEMORY_COUNT)
		memory_row(i, r);
	else if ((i -= MEMORY_COUNT) < 2 * POOL_COUNT)
		pool_row(i, r);
	else
		return false;
	return true;
}
