// Every macro of tensor/ and ops/, once.  cxx.py compares with the headers.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ebb.h>

static int failures;

// The macro ran, and the tape has no error.
static void ran(ebb_tape *t, const char *what, bool ok)
{
	if (ok && !ebb_failed(t))
		return;
	std::printf("%s: %s\n", what, ebb_error_message(t));
	failures++;
	ebb_clear_error(t);
}
#define RAN(call) ran(t, #call, (call) != nullptr)

static void lists(ebb_tape *t)
{
	static const int count = EBB_COUNT_ARGS(1, 2, 3);
	constexpr ebb_shape shape = EBB_SHAPE(2, 3);
	const int64_t rows = 5;
	ebb_pads pads = EBB_PADS(1, 2, 3, 4);
	ebb_axes axes = EBB_AXES(0, -1);

	ran(t, "lists",
		count == 3 && shape.ndim == 2 && shape.dims[1] == 3 &&
			EBB_SHAPE(rows).dims[0] == 5 && pads.n == 4 && pads.pad[3] == 4 &&
			axes.n == 2 && axes.axis[1] == -1 && EBB_SCALAR_SHAPE.ndim == 0 &&
			EBB_ZERO < 0 && std::fabs(EBB_ZERO) < 1e-300);
	ran(t, "the call site", EBB_SITE[0] == 'm');
}

static ebb_tensor *twice(ebb_tape *t, ebb_tensor *x, double by, const char *site)
{
	return (ebb_mul_scalar)(t, x, 2 * by, site);
}
#define twice(...) EBB_CALL(twice, __VA_ARGS__)

struct thrice_args {
	ebb_tape *t;
	ebb_tensor *x;
	double factor;
	const char *site;
};
EBB_OPTION(factor)
static ebb_tensor *thrice(const thrice_args *a)
{
	return (ebb_mul_scalar)(a->t, a->x, 3 * a->factor, a->site);
}
#define thrice(...) EBB_CALL_ARGS(thrice, thrice_args, __VA_ARGS__)

static void own(ebb_tape *t, ebb_tensor *x)
{
	RAN(twice(t, x, 1));
	RAN(thrice(t, x, ebb::factor = 1));
}

static void creation(ebb_tape *t)
{
	const double d[] = {1, 2};
	const float f[] = {1, 2};
	const int64_t i[] = {1, 2};
	const uint8_t u[] = {1, 2};
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(2));

	RAN(x);
	RAN(ebb_scalar(t, 3));
	RAN(ebb_full(t, EBB_SHAPE(2), 3));
	RAN(ebb_zeros(t, EBB_SHAPE(2)));
	RAN(ebb_zeros_like(t, x));
	RAN(ebb_ones_like(t, x));
	RAN(ebb_from_f64(t, EBB_SHAPE(2), d));
	RAN(ebb_from_f32(t, EBB_SHAPE(2), f));
	RAN(ebb_from_i64(t, EBB_SHAPE(2), i));
	RAN(ebb_from_u8(t, EBB_SHAPE(2), u));
	RAN(ebb_arange(t, 3));
	RAN(ebb_linspace(t, 0, 1, 5));
	RAN(ebb_eye(t, 2, ebb::columns = 3));
	RAN(ebb_full_like(t, x, 3));
	RAN(ebb_randint(t, EBB_SHAPE(2), 0, 10));
	RAN(ebb_randperm(t, 4));
	RAN(ebb_multinomial(t, x, 3, ebb::replacement = true));
	RAN(ebb_one_hot(t, ebb_arange(t, 3), -1));
	RAN(ebb_rand(t, EBB_SHAPE(2)));
	RAN(ebb_randn(t, EBB_SHAPE(2)));
	RAN(ebb_cast(t, x, EBB_F64));
}

static void elementwise(ebb_tape *t, ebb_tensor *x, ebb_tensor *y)
{
	RAN(ebb_neg(t, x));
	RAN(ebb_abs(t, x));
	RAN(ebb_sign(t, x));
	RAN(ebb_exp(t, x));
	RAN(ebb_log(t, x));
	RAN(ebb_expm1(t, x));
	RAN(ebb_log1p(t, x));
	RAN(ebb_sqrt(t, x));
	RAN(ebb_rsqrt(t, x));
	RAN(ebb_floor(t, x));
	RAN(ebb_square(t, x));
	RAN(ebb_reciprocal(t, x));
	RAN(ebb_sin(t, x));
	RAN(ebb_cos(t, x));
	RAN(ebb_tan(t, x));
	RAN(ebb_asin(t, ebb_sin(t, x)));
	RAN(ebb_acos(t, ebb_sin(t, x)));
	RAN(ebb_atan(t, x));
	RAN(ebb_sinh(t, x));
	RAN(ebb_cosh(t, x));
	RAN(ebb_tanh(t, x));
	RAN(ebb_erf(t, x));
	RAN(ebb_sigmoid(t, x));
	RAN(ebb_softplus(t, x));
	RAN(ebb_silu(t, x));
	RAN(ebb_logsigmoid(t, x));
	RAN(ebb_mish(t, x));
	RAN(ebb_hardswish(t, x));
	RAN(ebb_softsign(t, x));
	RAN(ebb_relu(t, x));
	RAN(ebb_relu6(t, x));
	RAN(ebb_hardtanh(t, x));
	RAN(ebb_leaky_relu(t, x, 0.1));
	RAN(ebb_elu(t, x, 1));
	RAN(ebb_selu(t, x));
	RAN(ebb_prelu(t, x, ebb_ones(t, EBB_SHAPE(1))));
	RAN(ebb_gelu(t, x, ebb::tanh = true));
	RAN(ebb_gelu(t, x, ebb::bias = y));
	RAN(ebb_clamp(t, x, 0, 1));
	RAN(ebb_add_scalar(t, x, 1));
	RAN(ebb_mul_scalar(t, x, 2));
	RAN(ebb_div_scalar(t, x, 2));
	RAN(ebb_pow_scalar(t, x, 2));
	RAN(ebb_add(t, x, y));
	RAN(ebb_sub(t, x, y));
	RAN(ebb_mul(t, x, y));
	RAN(ebb_div(t, x, y));
	RAN(ebb_floor_div(t, x, y));
	RAN(ebb_remainder(t, x, y));
	RAN(ebb_atan2(t, x, y));
	RAN(ebb_pow(t, x, y));
	RAN(ebb_maximum(t, x, y));
	RAN(ebb_minimum(t, x, y));
	RAN(ebb_where(t, ebb_less(t, x, y), x, y));
	RAN(ebb_equal(t, x, y));
	RAN(ebb_not_equal(t, x, y));
	RAN(ebb_less_equal(t, x, y));
	RAN(ebb_greater(t, x, y));
	RAN(ebb_greater_equal(t, x, y));
	RAN(ebb_logical_and(t, x, y));
	RAN(ebb_logical_or(t, x, y));
	RAN(ebb_logical_not(t, x));
}

static void reductions(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *index = nullptr;

	RAN(ebb_sum(t, x, ebb::axes = EBB_AXES(0, 1), ebb::keepdim = true));
	RAN(ebb_mean(t, x, EBB_AXES(1)));
	RAN(ebb_logsumexp(t, x, ebb::axes = EBB_AXES(-1)));
	RAN(ebb_prod(t, x));
	RAN(ebb_max(t, x, EBB_AXES(1), ebb::index = &index));
	RAN(index);
	RAN(ebb_min(t, x));
	RAN(ebb_var(t, x, ebb::correction = EBB_ZERO));
	RAN(ebb_std(t, x, ebb::correction = 1));
	RAN(ebb_argmax(t, x, 1));
	RAN(ebb_argmin(t, x, 1));
	RAN(ebb_cumsum(t, x, 0));
	RAN(ebb_norm(t, x, 1, ebb::axes = EBB_AXES(0)));
	RAN(ebb_sum_to(t, x, EBB_SHAPE(1, 3)));
}

// x [4,3]
static void shapes(ebb_tape *t, ebb_tensor *x)
{
	const int64_t sizes[] = {1, 3};
	const int64_t order[] = {0, 2, 1, 0};
	ebb_tensor *both[] = {x, x}, *part[2];
	ebb_tensor *index = ebb_from_i64(t, EBB_SHAPE(4), order);
	ebb_tensor *column = ebb_reshape(t, index, EBB_SHAPE(4, 1));

	RAN(ebb_reshape(t, x, EBB_SHAPE(2, -1)));
	RAN(ebb_flatten(t, x));
	RAN(ebb_permute(t, x, EBB_AXES(1, 0)));
	RAN(ebb_transpose(t, x, 0, 1));
	RAN(ebb_expand(t, ebb_ones(t, EBB_SHAPE(1, 3)), EBB_SHAPE(4, 3)));
	RAN(ebb_squeeze(t, ebb_unsqueeze(t, x, 0), 0));
	RAN(ebb_unsqueeze(t, x, -1));
	RAN(ebb_slice(t, x, 0, 1, EBB_END, 2));
	RAN(ebb_flip(t, x, EBB_AXES(0)));
	RAN(ebb_tril(t, x, 0));
	RAN(ebb_triu(t, x, 1));
	RAN(ebb_pixel_shuffle(t, ebb_ones(t, EBB_SHAPE(1, 4, 2, 2)), 2));
	RAN(ebb_dense(t, ebb_transpose(t, x, 0, 1), EBB_ROWS));
	RAN(ebb_concat(t, 2, both, 0));
	RAN(ebb_stack(t, 2, both, 0));
	ran(t, "ebb_split", ebb_split(t, x, 0, 2, sizes, part) && part[1]);
	RAN(ebb_pad(t, x, EBB_PADS(1, 1), ebb::mode = EBB_PAD_REFLECT));
	RAN(ebb_index_select(t, x, 0, index));
	RAN(ebb_gather(t, x, 1, column));
	RAN(ebb_scatter_add(t, x, 1, column, ebb_ones(t, EBB_SHAPE(4, 1))));
	RAN(ebb_embedding(t, index, x, ebb::padding_idx = EBB_ZERO));
}

static void sorting(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *index = nullptr, *largest = nullptr;

	RAN(ebb_sort(t, x, EBB_AXES(-1), ebb::descending = true, ebb::index = &index));
	RAN(index);
	RAN(ebb_argsort(t, x, EBB_AXES(0)));
	RAN(ebb_topk(t, x, 2, ebb::axes = EBB_AXES(1), ebb::index = &largest));
	RAN(largest);
}

static void printing(ebb_tape *t, ebb_tensor *x)
{
	char text[40];
	std::FILE *file = std::tmpfile();

	ran(t, "ebb_format",
		ebb_format(ebb_full(t, EBB_SHAPE(1), 2.5), text, sizeof text, ebb::precision = 2) ==
				14 &&
			!std::strcmp(text, "[2.50]\nF32 [1]"));
	ran(t, "ebb_print", file && ebb_print(x, file, ebb::edge = 1, ebb::threshold = 4));
	std::fclose(file);
}

static void losses(ebb_tape *t, ebb_tensor *x)
{
	const int64_t classes[] = {0, 2, 1, 0};
	ebb_tensor *label = ebb_from_i64(t, EBB_SHAPE(4), classes), *target = ebb_softmax(t, x, 1);

	RAN(target);
	RAN(ebb_log_softmax(t, x, 1));
	RAN(ebb_cross_entropy(t, x, label, ebb::label_smoothing = 0.1, ebb::reduction = EBB_NONE));
	RAN(ebb_nll_loss(t, ebb_log_softmax(t, x, 1), label, ebb::reduction = EBB_SUM_ALL));
	RAN(ebb_mse_loss(t, x, target));
	RAN(ebb_bce_with_logits(t, x, target));
	RAN(ebb_l1_loss(t, x, target, EBB_SUM_ALL));
	RAN(ebb_huber_loss(t, x, target, ebb::delta = 2));
	RAN(ebb_kl_div(t, ebb_log_softmax(t, x, 1), target, ebb::reduction = EBB_BATCH_MEAN));
}

// x [2,4,6,6]
static void norms(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *w = ebb_ones(t, EBB_SHAPE(4)), *b = ebb_zeros(t, EBB_SHAPE(4));

	RAN(ebb_batchnorm(t, x, w, b, nullptr, nullptr, ebb::eps = 1e-3));
	RAN(ebb_batchnorm_relu(t, x, w, b, ebb::residual = x));
	RAN(ebb_layernorm(t, x, nullptr, nullptr, ebb::axes = 2));
	RAN(ebb_rmsnorm(t, x, ebb::axes = 1));
	RAN(ebb_groupnorm(t, x, 2, w, b));
	RAN(ebb_instancenorm(t, x, ebb::weight = w, ebb::bias = b));
	RAN(ebb_local_response_norm(t, x, 3, ebb::alpha = 1e-3));
	RAN(ebb_normalize(t, x, 2, EBB_AXES(1)));
	RAN(ebb_dropout(t, x, 0.5));
	RAN(ebb_dropout2d(t, x, 0.5));
	RAN(ebb_drop_path(t, x, 0.5));
}

struct geometry {
	EBB_CONV_GEOMETRY;
	EBB_CONV_GEOMETRY_HW;
};
struct transposed {
	EBB_CONV_TRANSPOSE_GEOMETRY;
	EBB_CONV_TRANSPOSE_GEOMETRY_HW;
};

static void products(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *w = ebb_ones(t, EBB_SHAPE(4, 4, 3, 3)), *w1 = ebb_ones(t, EBB_SHAPE(4, 4, 3));
	ebb_tensor *a = ebb_ones(t, EBB_SHAPE(3, 4)), *b = ebb_ones(t, EBB_SHAPE(4)),
		   *index = nullptr;
	ebb_tensor *y, *small;
	geometry g{};
	transposed g_t{};

	RAN(ebb_matmul(t, a, b));
	RAN(ebb_linear(t, a, ebb_ones(t, EBB_SHAPE(4, 4)), b));
	RAN(ebb_linear(t, a, ebb::w = a));
	RAN(ebb_attention(t, a, a, a, ebb::causal = true));
	RAN(ebb_attention(t, a, a, a, ebb::causal = true, ebb::past = 0, ebb::dropout = 0.1));
	RAN(ebb_einsum(t, "ij,j->i", a, b));
	RAN(ebb_einsum(t, "ij->ji", a));
	RAN(y = ebb_conv2d(t, x, w, b, ebb::stride = 2, ebb::pad = EBB_SAME));
	ran(t, "a size", ebb_size(y, 2) == 3);
	RAN(y = ebb_conv2d(t, x, w, ebb::stride_hw = {1, 2}, ebb::pad_tblr = {1, 1, 0, 0}));
	ran(t, "sizes", ebb_size(y, 2) == 6 && ebb_size(y, 3) == 2);
	RAN(ebb_conv1d(t, ebb_ones(t, EBB_SHAPE(2, 4, 8)), w1, b, 2));
	RAN(ebb_conv_transpose2d(t, x, w, b, ebb::stride = 2, ebb::output_pad = 1));
	RAN(small = ebb_maxpool2d(t, x, ebb::kernel = 2, ebb::index = &index));
	RAN(ebb_max_unpool2d(t, small, index, 6, 6));
	RAN(ebb_avgpool2d(t, x, 3, ebb::exclude_pad = true));
	RAN(ebb_adaptive_avgpool2d(t, x));
	RAN(ebb_adaptive_maxpool2d(t, x, ebb::size_hw = {2, 3}));
	RAN(ebb_upsample(t, x, EBB_BILINEAR, ebb::scale_hw = {2, 1.5}));
	ran(t, "members", g.pad_tblr[3] == 0 && g_t.output_pad == 0);
}

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_add_scalar(t, ebb_rand(t, EBB_SHAPE(4, 3)), 0.1);

	lists(t);
	own(t, x);
	creation(t);
	elementwise(t, x, ebb_ones(t, EBB_SHAPE(3)));
	reductions(t, x);
	shapes(t, x);
	sorting(t, x);
	printing(t, x);
	losses(t, x);
	norms(t, ebb_rand(t, EBB_SHAPE(2, 4, 6, 6)));
	products(t, ebb_rand(t, EBB_SHAPE(2, 4, 6, 6)));
	ebb_tape_free(t);
	return failures;
}
