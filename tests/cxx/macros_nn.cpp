// Every macro of autograd/, nn/ without nn/models/, and optim/, once.  cxx.py compares with the headers.
#include <cstdio>
#include <ebb.h>

static int failures;

// The macro ran, and neither the tape nor the store has an error.
static void ran(ebb_tape *t, ebb_params *p, const char *what, bool ok)
{
	if (ok && ebb_ok(t, p))
		return;
	std::printf("%s: %s\n", what, ebb_ok(t, p) ? "" : ebb_first_error(t, p)->message);
	failures++;
	ebb_clear_error(t);
	ebb_params_clear_error(p);
}
#define OK(call) ran(t, p, #call, (call))
#define RAN(call) ran(t, p, #call, (call) != nullptr)
static void double_vjp(ebb_vjp *v)
{
	ebb_give(v, 0, ebb_mul_scalar(v->t, v->gy, 2));
}

static void recording(ebb_tape *t, ebb_params *p)
{
	static constexpr ebb_op op =
		ebb::make<ebb_op>("double", double_vjp, ebb::reads = {EBB_IN(0) | EBB_OUT});
	ebb_tensor *x = ebb_variable(t, ebb_ones(t, EBB_SHAPE(3))), *v = ebb_ones(t, EBB_SHAPE(3));
	ebb_tensor *y, *g = nullptr;

	OK(op.reads[0] == (1u | 1u << 31) && op.vjp == double_vjp && !op.gy_strided);
	ebb_scope_begin(t, "scope");
	RAN(y = ebb_scope_end(t, ebb_sum(t, ebb_square(t, ebb_square(t, x)))));
	RAN(ebb_detach(t, x));
	OK(ebb_grad(t, y, 1, &x, &g, ebb::create_graph = true));
	RAN(ebb_jvp(t, y, 1, &x, &v));
	OK(ebb_hvp(t, y, 1, &x, &v, &g));
	OK(ebb_jacobian(t, y, 1, &x, &g));
	OK(ebb_hessian(t, y, 1, &x, ebb::hx = &g));
	OK(ebb_backward(t, y, ebb::retain = true));
	OK(ebb_item(ebb_sum(t, ebb_grad_of(x))) == 12);
	RAN(y = ebb_checkpoint(
		    t, [](ebb_tape *tape, ebb_tensor *of, void *) { return ebb_exp(tape, of); },
		    nullptr, x));
	OK(ebb_backward(t, ebb_sum(t, y)));

	ebb_tensor *input = ebb_tensor_new(EBB_F64, EBB_SHAPE(2), false, nullptr);
	const ebb_tensor *inputs[] = {input};
	ebb_error e{};
	OK(ebb_gradcheck(
		[](ebb_tape *tape, ebb_tensor **of, void *) { return ebb_sin(tape, of[0]); },
		nullptr, 1, inputs, ebb::second = true, ebb::error = &e));
	OK(ebb_ok(&e));
	ebb_tensor_free(input);
}

static void store(ebb_tape *t, ebb_params *p)
{
	ebb_init init = EBB_INIT(EBB_INIT_NORMAL, ebb::std = 0.1);

	RAN(ebb_params_add(p, "own", EBB_SHAPE(3), init));
	RAN(ebb_params_add(p, "other", EBB_SHAPE(3), EBB_INIT(EBB_INIT_ZEROS)));
	RAN(ebb_buffers_add(p, "buffer", EBB_SHAPE(3), 1));
	RAN(ebb_params_alloc(p, 100));

	ebb_params *target = ebb_params_new(2);
	RAN(ebb_params_add(target, "own", EBB_SHAPE(3), init));
	OK(ebb_params_copy(target, p, ebb::glob = "own", ebb::partial = true));
	OK(ebb_params_lerp(target, p, 0.5, ebb::partial = true));
	ebb_params_free(target);
}

static void layers(ebb_tape *t, ebb_params *p)
{
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(2, 4, 6, 6)), *rows = ebb_rand(t, EBB_SHAPE(2, 4));
	ebb_conv conv = ebb_conv_new(p, "conv", 4, 4, 3, ebb::pad = 1,
		ebb::init = EBB_INIT(EBB_INIT_KAIMING_NORMAL, ebb::fan_out = true));
	ebb_conv1d_layer conv1d = ebb_conv1d_new(p, "conv1d", 4, 2, 3);
	ebb_conv_transpose2d_layer up = ebb_conv_transpose2d_new(p, "up", 4, 2, 3, ebb::stride = 2);
	ebb_linear fc = ebb_linear_new(p, "fc", 4, 3, ebb::no_bias = true);
	ebb_bn bn = ebb_bn_new(p, "bn", 4, ebb::momentum = 0.2);
	ebb_layernorm_layer ln = ebb_layernorm_new(p, "ln", 4, ebb::eps = 1e-6);
	ebb_groupnorm_layer gn = ebb_groupnorm_new(p, "gn", 2, 4);
	ebb_prelu_layer prelu = ebb_prelu_new(p, "prelu", 4);
	ebb_embedding_layer embedding = ebb_embedding_new(p, "embedding", 10, 4,
		ebb::padding_idx = 1, ebb::init = EBB_INIT(EBB_INIT_NORMAL, ebb::std = 0.02));
	ebb_drop drop = ebb_drop_new(p, "drop", 0.5);

	RAN(ebb_conv_forward(t, &conv, x));
	RAN(ebb_conv1d_forward(t, &conv1d, ebb_rand(t, EBB_SHAPE(2, 4, 9))));
	RAN(ebb_conv_transpose2d_forward(t, &up, x));
	RAN(ebb_linear_forward(t, &fc, rows));
	RAN(ebb_bn_forward(t, &bn, x));
	RAN(ebb_bn_relu_forward(t, &bn, x, nullptr));
	RAN(ebb_layernorm_forward(t, &ln, rows));
	RAN(ebb_groupnorm_forward(t, &gn, x));
	RAN(ebb_prelu_forward(t, &prelu, x));
	RAN(ebb_embedding_forward(t, &embedding, ebb_arange(t, 5)));
	RAN(ebb_drop_forward(t, &drop, x));
}

static ebb_tensor *halved(ebb_tape *t, void *, ebb_tensor *x, const char *site)
{
	return (ebb_mul_scalar)(t, x, 0.5, site);
}

static void container(ebb_tape *t, ebb_params *p)
{
	ebb_sequential *net = ebb_sequential_new(p, "net");

	OK(ebb_sequential_conv(net, 1, 4, 3, ebb::pad = EBB_SAME));
	OK(ebb_sequential_bn(net, 4));
	OK(ebb_sequential_fn(net, ebb_relu));
	OK(ebb_sequential_maxpool2d(net, ebb::kernel = 2));
	OK(ebb_sequential_avgpool2d(net, 2));
	OK(ebb_sequential_adaptive_avgpool2d(net, ebb::size = 1));
	OK(ebb_sequential_fn(net, ebb_flatten));
	OK(ebb_sequential_dropout(net, 0.1));
	OK(ebb_sequential_linear(net, 4, 3, ebb::no_bias = true));
	OK(ebb_sequential_layer(net, halved, nullptr));
	RAN(ebb_sequential_forward(t, net, ebb_rand(t, EBB_SHAPE(2, 1, 8, 8))));
}

static void recurrent(ebb_tape *t, ebb_params *p)
{
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(2, 3));
	ebb_rnn_cell rnn = ebb_rnn_cell_new(p, "rnn", 3, 4, ebb::relu = true);
	ebb_lstm_cell lstm = ebb_lstm_cell_new(p, "lstm", 3, 4);
	ebb_gru_cell gru = ebb_gru_cell_new(p, "gru", 3, 4, ebb::no_bias = true);

	RAN(ebb_rnn_cell_forward(t, &rnn, x, nullptr));
	RAN(ebb_lstm_cell_forward(t, &lstm, x, {}).h);
	RAN(ebb_gru_cell_forward(t, &gru, x, nullptr));
}

static void attention(ebb_tape *t, ebb_params *p)
{
	ebb_tensor *x = ebb_rand(t, EBB_SHAPE(2, 3, 4));
	ebb_multihead heads = ebb_multihead_new(p, "heads", 4, 2, ebb::dropout = 0.1);
	ebb_transformer_layer layer = ebb_transformer_layer_new(p, "layer", 4, 2, 8,
		ebb::dropout = EBB_ZERO, ebb::init = EBB_INIT(EBB_INIT_NORMAL));
	ebb_gpt gpt = ebb_gpt_new(ebb_params_sub(p, "gpt"), 10, 6, 1, 2, 4);

	RAN(ebb_multihead_forward(t, &heads, x, ebb::causal = true));
	RAN(ebb_transformer_layer_forward(t, &layer, x, ebb::causal = true));
	RAN(ebb_gpt_forward(t, &gpt, ebb_arange(t, 5), ebb::cache = nullptr));
}

static void files(ebb_tape *t, ebb_params *p)
{
	ebb_rename rules[] = {{"*", "*"}, {}};
	ebb_error e{};

	OK(ebb_params_save(p, "weights.safetensors", ebb::dtype = EBB_FILE_F64));
	OK(ebb_params_load(p, "weights.safetensors", ebb::rename = rules, ebb::error = &e));
}

static void optimizers(ebb_tape *t, ebb_params *p)
{
	ebb_optim *o[] = {ebb_sgd(p, ebb::lr = 1, ebb::momentum = 0.9, ebb::nesterov = true),
		ebb_adam(p, 1e-3, ebb::betas = {0.9, 0.99}),
		ebb_adamw(p, ebb::weight_decay = EBB_ZERO), ebb_rmsprop(p, ebb::alpha = 0.9f),
		ebb_adagrad(p, ebb::initial_accumulator_value = 0.1)};

	for (ebb_optim *one : o) {
		OK(ebb_ok(one));
		ebb_optim_free(one);
	}

	struct problem {
		ebb_tape *t;
		ebb_tensor *x;
	} quadratic{t, ebb_params_add(p, "x", EBB_SHAPE(3), EBB_INIT(EBB_INIT_NORMAL))};
	ebb_optim *lbfgs = ebb_lbfgs(p, ebb::history = 10, ebb::line_search = EBB_STRONG_WOLFE);
	double loss = ebb_optim_step_closure(
		lbfgs,
		[](void *ctx, double *value) {
			problem *at = static_cast<problem *>(ctx);
			ebb_tensor *y = ebb_sum(at->t, ebb_square(at->t, at->x));

			*value = ebb_item(y);
			return ebb_backward(at->t, y);
		},
		&quadratic);
	OK(loss > 0 && ebb_ok(lbfgs) && ebb_at(quadratic.x, 0) < 1e-6);
	ebb_optim_free(lbfgs);

	ebb_averager *averagers[] = {
		ebb_ema(p, ebb::decay = 0.9, ebb::warmup = true), ebb_swa(p, ebb::buffers = true)};
	for (ebb_averager *one : averagers) {
		OK(ebb_averager_update(one) && ebb_ok(one));
		ebb_averager_free(one);
	}
}

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);

	recording(t, p);
	store(t, p);
	layers(t, p);
	container(t, p);
	recurrent(t, p);
	attention(t, p);
	files(t, p);
	optimizers(t, p);
	ebb_tape_free(t);
	ebb_params_free(p);
	return failures;
}
