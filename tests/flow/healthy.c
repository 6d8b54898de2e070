/*
 * healthy.c - training runs in which nothing is wrong, and the instrument finds nothing.
 *
 * EBB_SEEDS=40 runs each network with so many seeds; EBB_ONLY=tanh runs those whose name has it.
 */
#include "tests/flow/nets.h"

#include <ebb.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 50 };

/* What a network needs; its functions use the parts that they have made. */
typedef struct model {
	ebb_params *p;
	int depth, width;
	uint64_t seed;
	int step;
	ebb_linear fc[2 * MOST];
	ebb_conv conv[MOST];
	ebb_bn bn[MOST];
	ebb_layernorm_layer ln[8];
	ebb_embedding_layer table;
	ebb_tensor *position;
	ebb_lenet lenet;
	ebb_cifar_resnet resnet;
	ebb_vgg vgg;
	ebb_googlenet googlenet;
	ebb_gru_cell gru;
	ebb_lstm_cell lstm;
	ebb_sequential *net;
	ebb_dataset *digits;
	ebb_loader *loader;
} model;

typedef struct recipe {
	const char *name;
	void (*make)(model *m);
	ebb_tensor *(*loss)(ebb_tape *t, model *m);
	enum { SGD, MOMENTUM, ADAM, ADAMW } optim;
	double lr;
	double (*schedule)(int64_t step);
	int steps, seeds, depth, width;
	double final; /* the loss at the end is at most this part of the first one; 0: any */
} recipe;

static uint64_t data_seed(const model *m)
{
	return 1000 * m->seed + (uint64_t)m->step;
}

static ebb_tensor *classified(ebb_tape *t, ebb_tensor *logits, int64_t n)
{
	return ebb_cross_entropy(t, logits, cluster_labels(t, n, NETS_CLASSES));
}

/* ---- Plain networks -------------------------------------------------------------------------- */

static void make_plain(model *m, ebb_init init)
{
	for (int i = 0; i < m->depth; i++) {
		char name[16];

		snprintf(name, sizeof name, "fc%d", i);
		m->fc[i] = ebb_linear_new(m->p, name, m->width,
			i + 1 < m->depth ? m->width : NETS_CLASSES, .init = init);
	}
}

static void make_he(model *m)
{
	make_plain(m, EBB_INIT(EBB_INIT_KAIMING_NORMAL));
}

static void make_lecun(model *m)
{
	make_plain(m, EBB_INIT(EBB_INIT_LECUN_NORMAL));
}

static void make_default(model *m)
{
	make_plain(m, EBB_INIT(EBB_INIT_DEFAULT));
}

static void make_orthogonal(model *m)
{
	make_plain(m, EBB_INIT(EBB_INIT_ORTHOGONAL, .after = EBB_GAIN_RELU));
}

static ebb_tensor *plain(ebb_tape *t, model *m, ebb_unary_op phi, int64_t n)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(n, m->width), NETS_CLASSES, data_seed(m));

	for (int i = 0; i < m->depth; i++) {
		x = ebb_linear_forward(t, &m->fc[i], x);
		if (i + 1 < m->depth)
			x = phi(t, x, EBB_SITE);
	}
	return x;
}

static ebb_tensor *relu_loss(ebb_tape *t, model *m)
{
	return classified(t, plain(t, m, ebb_relu, 64), 64);
}

static ebb_tensor *small_batch_loss(ebb_tape *t, model *m)
{
	return classified(t, plain(t, m, ebb_relu, 4), 4);
}

static ebb_tensor *tanh_loss(ebb_tape *t, model *m)
{
	return classified(t, plain(t, m, ebb_tanh, 64), 64);
}

static ebb_tensor *elu(ebb_tape *t, ebb_tensor *x, const char *site)
{
	return (ebb_silu)(t, x, site);
}

static ebb_tensor *silu_loss(ebb_tape *t, model *m)
{
	return classified(t, plain(t, m, elu, 64), 64);
}

/* The same batch again and again: the loss and the gradients become tiny. */
static ebb_tensor *overfit_loss(ebb_tape *t, model *m)
{
	int step = m->step;

	m->step = 0;
	ebb_tensor *loss = classified(t, plain(t, m, ebb_relu, 16), 16);
	m->step = step;
	return loss;
}

/* ---- Outputs --------------------------------------------------------------------------------- */

static ebb_tensor *target(ebb_tape *t, int64_t n, int64_t classes)
{
	float *y = calloc((size_t)(n * classes), sizeof *y);

	for (int64_t i = 0; i < n; i++)
		y[i * classes + i % NETS_CLASSES] = 1;
	ebb_tensor *x = ebb_from_f32(t, EBB_SHAPE(n, classes), y);
	free(y);
	return x;
}

/* -mean(y log p + (1 - y) log(1 - p)), with p = sigmoid(x) */
static ebb_tensor *sigmoid_loss(ebb_tape *t, model *m)
{
	ebb_tensor *p = ebb_sigmoid(t, plain(t, m, ebb_relu, 32)), *y = target(t, 32, NETS_CLASSES);
	ebb_tensor *q = ebb_add_scalar(t, ebb_neg(t, p), 1 + 1e-6);
	ebb_tensor *not_y = ebb_add_scalar(t, ebb_neg(t, y), 1);
	ebb_tensor *sum = ebb_add(t, ebb_mul(t, y, ebb_log(t, ebb_add_scalar(t, p, 1e-6))),
		ebb_mul(t, not_y, ebb_log(t, q)));

	return ebb_neg(t, ebb_mean(t, sum));
}

static ebb_tensor *logits_loss(ebb_tape *t, model *m)
{
	return ebb_bce_with_logits(t, plain(t, m, ebb_relu, 32), target(t, 32, NETS_CLASSES));
}

static void make_autoencoder(model *m)
{
	static const int64_t sizes[] = {64, 32, 16, 4, 16, 32, 64};

	for (int i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof name, i < 3 ? "encoder%d" : "decoder%d", i % 3);
		m->fc[i] = ebb_linear_new(m->p, name, sizes[i], sizes[i + 1]);
	}
}

static ebb_tensor *autoencoder_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(32, 64), NETS_CLASSES, data_seed(m)), *y = x;

	for (int i = 0; i < 6; i++) {
		y = ebb_linear_forward(t, &m->fc[i], y);
		if (i != 2 && i != 5)
			y = ebb_relu(t, y);
	}
	return ebb_mse_loss(t, y, x);
}

/* ---- Containers ------------------------------------------------------------------------------ */

static void make_dropout(model *m)
{
	m->net = ebb_sequential_new(m->p, "net");
	ebb_sequential_dropout(m->net, 0.2);
	for (int i = 0; i < 3; i++) {
		ebb_sequential_linear(m->net, i ? 128 : 48, 128);
		ebb_sequential_fn(m->net, ebb_relu);
		ebb_sequential_dropout(m->net, 0.5);
	}
	ebb_sequential_linear(m->net, 128, NETS_CLASSES);
}

static ebb_tensor *dropout_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(32, 48), NETS_CLASSES, data_seed(m));

	return classified(t, ebb_sequential_forward(t, m->net, x), 32);
}

/* ---- Images ---------------------------------------------------------------------------------- */

static void make_lenet(model *m)
{
	m->lenet = ebb_lenet_new(m->p);
	m->digits = ebb_digits(640, m->seed, NULL);
	m->loader = ebb_loader_new(
		m->digits, 32, .shuffle = true, .seed = m->seed, .mean = {0.1307}, .std = {0.3081});
}

static ebb_tensor *lenet_loss(ebb_tape *t, model *m)
{
	ebb_batch batch;

	while (!ebb_loader_next(m->loader, &batch))
		;
	return ebb_cross_entropy(t, ebb_lenet_forward(t, &m->lenet, batch.images), batch.labels);
}

static void make_resnet(model *m)
{
	m->resnet = ebb_cifar_resnet_new(m->p, .depth = m->depth);
}

static ebb_tensor *resnet_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(8, 3, 32, 32), NETS_CLASSES, data_seed(m));

	return classified(t, ebb_cifar_resnet_forward(t, &m->resnet, x), 8);
}

static void make_batch_norm(model *m)
{
	for (int i = 0; i < m->depth; i++) {
		char conv[16], bn[16];

		snprintf(conv, sizeof conv, "conv%d", i);
		snprintf(bn, sizeof bn, "bn%d", i);
		m->conv[i] = ebb_conv_new(
			m->p, conv, i ? m->width : 3, m->width, 3, .pad = 1, .no_bias = true);
		m->bn[i] = ebb_bn_new(m->p, bn, m->width);
	}
	m->fc[0] = ebb_linear_new(m->p, "fc", m->width, NETS_CLASSES);
}

static ebb_tensor *batch_norm_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(16, 3, 6, 6), NETS_CLASSES, data_seed(m));

	for (int i = 0; i < m->depth; i++)
		x = ebb_relu(t, ebb_bn_forward(t, &m->bn[i], ebb_conv_forward(t, &m->conv[i], x)));
	x = ebb_flatten(t, ebb_adaptive_avgpool2d(t, x));
	return classified(t, ebb_linear_forward(t, &m->fc[0], x), 16);
}

static void make_vgg(model *m)
{
	m->vgg = ebb_vgg_new(m->p, 11, .classes = NETS_CLASSES);
}

static ebb_tensor *vgg_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(2, 3, 64, 64), NETS_CLASSES, data_seed(m));

	return classified(t, ebb_vgg_forward(t, &m->vgg, x), 2);
}

static void make_googlenet(model *m)
{
	m->googlenet = ebb_googlenet_new(m->p, .classes = NETS_CLASSES);
}

static ebb_tensor *googlenet_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(4, 3, 96, 96), NETS_CLASSES, data_seed(m));

	return ebb_googlenet_loss(
		t, ebb_googlenet_forward(t, &m->googlenet, x), cluster_labels(t, 4, NETS_CLASSES));
}

/* ---- Residual branches that begin with 0 ----------------------------------------------------- */

static void make_zero_branches(model *m)
{
	for (int i = 0; i < m->depth; i++) {
		char name[16];

		snprintf(name, sizeof name, "block%d.a", i);
		m->fc[2 * i] = ebb_linear_new(
			m->p, name, m->width, m->width, .init = EBB_INIT(EBB_INIT_KAIMING_NORMAL));
		snprintf(name, sizeof name, "block%d.b", i);
		m->fc[2 * i + 1] = ebb_linear_new(
			m->p, name, m->width, m->width, .init = EBB_INIT(EBB_INIT_ZEROS));
	}
	m->table = (ebb_embedding_layer){0};
	m->fc[2 * m->depth] = ebb_linear_new(m->p, "head", m->width, NETS_CLASSES);
}

static ebb_tensor *zero_branches_loss(ebb_tape *t, model *m)
{
	ebb_tensor *x = clusters(t, EBB_SHAPE(32, m->width), NETS_CLASSES, data_seed(m));

	for (int i = 0; i < m->depth; i++) {
		ebb_tensor *h = ebb_relu(t, ebb_linear_forward(t, &m->fc[2 * i], x));
		x = ebb_add(t, x, ebb_linear_forward(t, &m->fc[2 * i + 1], h));
	}
	return classified(t, ebb_linear_forward(t, &m->fc[2 * m->depth], x), 32);
}

static void make_zero_head(model *m)
{
	make_he(m);
	m->fc[m->depth - 1] = ebb_linear_new(
		m->p, "head", m->width, NETS_CLASSES, .init = EBB_INIT(EBB_INIT_ZEROS));
}

/* ---- Sequences ------------------------------------------------------------------------------- */

enum { TIME = 20, SYMBOLS = 8, HIDDEN = 32, SEQUENCES = 16 };

static void make_recurrent(model *m)
{
	if (m->width)
		m->lstm = ebb_lstm_cell_new(m->p, "cell", SYMBOLS, HIDDEN);
	else
		m->gru = ebb_gru_cell_new(m->p, "cell", SYMBOLS, HIDDEN);
	m->fc[0] = ebb_linear_new(m->p, "out", HIDDEN, SYMBOLS);
}

/* The network predicts which symbol came three steps before, in every step. */
static ebb_tensor *recurrent_loss(ebb_tape *t, model *m)
{
	int64_t symbol[TIME][SEQUENCES];
	ebb_lstm_state s = {0};
	ebb_tensor *sum = NULL;

	for (int k = 0; k < TIME; k++) {
		float x[SEQUENCES][SYMBOLS] = {{0}}, noise[SEQUENCES];

		fill_normal(noise, SEQUENCES, data_seed(m) * TIME + (uint64_t)k);
		for (int i = 0; i < SEQUENCES; i++) {
			symbol[k][i] = (int64_t)(fabsf(noise[i]) * 1000) % SYMBOLS;
			x[i][symbol[k][i]] = 1;
		}
		ebb_tensor *in = ebb_from_f32(t, EBB_SHAPE(SEQUENCES, SYMBOLS), x[0]);
		if (m->width)
			s = ebb_lstm_cell_forward(t, &m->lstm, in, s);
		else
			s.h = ebb_gru_cell_forward(t, &m->gru, in, s.h);
		if (k < 3)
			continue;
		ebb_tensor *loss = ebb_cross_entropy(t, ebb_linear_forward(t, &m->fc[0], s.h),
			ebb_from_i64(t, EBB_SHAPE(SEQUENCES), symbol[k - 3]));
		sum = sum ? ebb_add(t, sum, loss) : loss;
	}
	return ebb_mul_scalar(t, sum, 1.0 / (TIME - 3));
}

enum { TOKENS = 16, WORDS = 40, BLOCKS = 3 };

/* Each block has the layers q, k, v, o, up, down; ln[2 i] and ln[2 i + 1]. */
static void make_transformer(model *m)
{
	static const char *const names[] = {"q", "k", "v", "o", "up", "down"};
	char name[24];

	m->table = ebb_embedding_new(m->p, "tokens", WORDS, m->width);
	m->position = ebb_params_add(m->p, "position.weight", EBB_SHAPE(TOKENS, m->width),
		EBB_INIT(EBB_INIT_NORMAL, .std = 0.02));
	for (int i = 0; i < BLOCKS; i++) {
		for (int k = 0; k < 6; k++) {
			snprintf(name, sizeof name, "block%d.%s", i, names[k]);
			m->fc[6 * i + k] = ebb_linear_new(m->p, name,
				k == 5 ? 4 * m->width : m->width, k == 4 ? 4 * m->width : m->width,
				.init = EBB_INIT(EBB_INIT_NORMAL, .std = 0.02));
		}
		for (int k = 0; k < 2; k++) {
			snprintf(name, sizeof name, "block%d.ln%d", i, k);
			m->ln[2 * i + k] = ebb_layernorm_new(m->p, name, m->width);
		}
	}
	m->ln[2 * BLOCKS] = ebb_layernorm_new(m->p, "ln", m->width);
	m->fc[6 * BLOCKS] = ebb_linear_new(m->p, "head", m->width, WORDS);
}

static ebb_tensor *block(ebb_tape *t, model *m, int i, ebb_tensor *x)
{
	const ebb_linear *fc = &m->fc[6 * i];
	ebb_tensor *h = ebb_layernorm_forward(t, &m->ln[2 * i], x);

	h = ebb_attention(t, ebb_linear_forward(t, &fc[0], h), ebb_linear_forward(t, &fc[1], h),
		ebb_linear_forward(t, &fc[2], h), .causal = true);
	x = ebb_add(t, x, ebb_linear_forward(t, &fc[3], h));
	h = ebb_layernorm_forward(t, &m->ln[2 * i + 1], x);
	h = ebb_gelu(t, ebb_linear_forward(t, &fc[4], h));
	return ebb_add(t, x, ebb_linear_forward(t, &fc[5], h));
}

static ebb_tensor *transformer_loss(ebb_tape *t, model *m)
{
	int64_t in[8][TOKENS], out[8][TOKENS];
	float start[8];

	fill_normal(start, 8, data_seed(m));
	for (int n = 0; n < 8; n++)
		for (int k = 0; k < TOKENS; k++) {
			int first = (int)(fabsf(start[n]) * 1000);
			in[n][k] = (first + k * (1 + n % 3)) % WORDS;
			out[n][k] = (first + (k + 1) * (1 + n % 3)) % WORDS;
		}
	ebb_tensor *x =
		ebb_embedding_forward(t, &m->table, ebb_from_i64(t, EBB_SHAPE(8, TOKENS), in[0]));
	x = ebb_add(t, x, m->position);
	for (int i = 0; i < BLOCKS; i++)
		x = block(t, m, i, x);
	x = ebb_linear_forward(
		t, &m->fc[6 * BLOCKS], ebb_layernorm_forward(t, &m->ln[2 * BLOCKS], x));
	return ebb_cross_entropy(t, ebb_reshape(t, x, EBB_SHAPE(8 * TOKENS, WORDS)),
		ebb_from_i64(t, EBB_SHAPE(8 * TOKENS), out[0]));
}

/* ---- Schedules ------------------------------------------------------------------------------- */

static double warm_up(int64_t step)
{
	return ebb_schedule_warmup(step, 10);
}

/* From 0, and to 0 again. */
static double warm_up_and_cosine(int64_t step)
{
	return (step < 10 ? (double)step / 10 : 1) * ebb_schedule_cosine(step, 60, 0);
}

/* ---- The runs -------------------------------------------------------------------------------- */

static const recipe recipes[] = {
	{"LeNet on digits", make_lenet, lenet_loss, ADAM, 2e-3, NULL, 60, 2, 0, 0, 0.9},
	{"ResNet-20 for CIFAR", make_resnet, resnet_loss, MOMENTUM, 0.02, NULL, 4, 2, 20, 0, 0},
	{"ResNet-56 for CIFAR", make_resnet, resnet_loss, MOMENTUM, 0.02, NULL, 3, 1, 56, 0, 0},
	{"ReLU, He, 8 layers", make_he, relu_loss, SGD, 0.01, NULL, 30, 8, 8, 64, 0},
	{"ReLU, He, 24 layers", make_he, relu_loss, SGD, 0.003, NULL, 20, 8, 24, 48, 0},
	{"ReLU, He, 50 layers", make_he, relu_loss, SGD, 0.001, NULL, 12, 8, 50, 64, 0},
	{"ReLU, He, 50 layers at step 0", make_he, relu_loss, SGD, 0.001, NULL, 1, 8, 50, 64, 0},
	{"ReLU, He, batch of 4", make_he, small_batch_loss, SGD, 0.003, NULL, 30, 4, 8, 64, 0},
	{"ReLU, orthogonal, 24 layers", make_orthogonal, relu_loss, SGD, 0.003, NULL, 10, 4, 24, 64,
		0},
	{"ReLU, PyTorch's initial values, 4 layers", make_default, relu_loss, ADAM, 1e-3, NULL, 40,
		6, 4, 64, 0.95},
	{"ReLU, PyTorch's initial values, 8 layers", make_default, relu_loss, ADAM, 1e-3, NULL, 40,
		6, 8, 64, 1},
	{"SiLU, He, 8 layers", make_he, silu_loss, SGD, 0.01, NULL, 20, 4, 8, 64, 0},
	{"tanh at its critical point, 24 layers", make_lecun, tanh_loss, SGD, 0.01, NULL, 20, 5, 24,
		64, 0},
	{"tanh at its critical point, 50 layers", make_lecun, tanh_loss, SGD, 0.01, NULL, 12, 5, 50,
		64, 0},
	{"GRU over 20 steps", make_recurrent, recurrent_loss, ADAM, 5e-3, NULL, 20, 3, 0, 0, 1},
	{"LSTM over 20 steps", make_recurrent, recurrent_loss, ADAM, 5e-3, NULL, 20, 3, 0, 1, 1},
	{"transformer", make_transformer, transformer_loss, ADAM, 3e-3, warm_up, 40, 3, 0, 32, 0.9},
	{"batch norm at step 0", make_batch_norm, batch_norm_loss, SGD, 0.01, NULL, 1, 8, 24, 16,
		0},
	{"batch norm until step 100", make_batch_norm, batch_norm_loss, MOMENTUM, 0.01, NULL, 101,
		1, 24, 16, 0},
	{"container with dropout", make_dropout, dropout_loss, SGD, 0.1, NULL, 60, 4, 0, 0, 0.99},
	{"AdamW, warm-up from 0, cosine to 0", make_he, relu_loss, ADAMW, 3e-3, warm_up_and_cosine,
		60, 3, 8, 48, 0.9},
	{"residual branches that begin with 0", make_zero_branches, zero_branches_loss, SGD, 0.01,
		NULL, 20, 4, 8, 48, 1},
	{"last layer that begins with 0", make_zero_head, relu_loss, SGD, 0.05, NULL, 20, 4, 8, 48,
		1},
	{"overfitting to a loss of 1e-6", make_he, overfit_loss, ADAM, 1e-2, NULL, 400, 2, 4, 48,
		1e-5},
	{"sigmoid output, cross entropy", make_default, sigmoid_loss, ADAM, 3e-3, NULL, 100, 3, 4,
		48, 0.5},
	{"logits, cross entropy", make_default, logits_loss, ADAM, 3e-3, NULL, 40, 3, 4, 48, 0.9},
	{"autoencoder", make_autoencoder, autoencoder_loss, ADAM, 3e-3, NULL, 60, 3, 0, 0, 0.95},
	{"VGG-11", make_vgg, vgg_loss, SGD, 0.01, NULL, 1, 1, 0, 0, 0},
	{"GoogLeNet", make_googlenet, googlenet_loss, SGD, 0.01, NULL, 2, 1, 0, 0, 0},
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

static ebb_optim *optim_of(const recipe *r, ebb_params *p)
{
	switch (r->optim) {
	case MOMENTUM:
		return ebb_sgd(p, .lr = r->lr, .momentum = 0.9);
	case ADAM:
		return ebb_adam(p, .lr = r->lr);
	case ADAMW:
		return ebb_adamw(p, .lr = r->lr);
	default:
		return ebb_sgd(p, .lr = r->lr);
	}
}

/* Prints a run with findings, or whose loss has not become small enough. */
static bool is_healthy(const recipe *r, int seed)
{
	static model m;
	ebb_tape *t = ebb_tape_new();
	ebb_flow *f = ebb_flow_new(t);
	double first = NAN, last = NAN;

	m = (model){.depth = r->depth, .width = r->width, .seed = (uint64_t)seed};
	m.p = ebb_params_new(m.seed);
	r->make(&m);
	ck_assert_msg(!ebb_params_error(m.p), "%s", ebb_params_error(m.p)->message);
	ebb_optim *opt = optim_of(r, m.p);
	for (m.step = 0; m.step < r->steps; m.step++) {
		ebb_tensor *loss = r->loss(t, &m);
		if (r->schedule)
			ebb_optim_set_lr(opt, r->lr * r->schedule(m.step));
		ebb_params_zero_grad(m.p);
		ebb_backward(t, loss);
		last = ebb_item(loss);
		first = m.step ? first : last;
		ebb_optim_step(opt);
		ebb_tape_reset(t);
	}
	assert_healthy(t);
	bool none = ebb_flow_status(f) == 0, learned = r->final == 0 || last <= r->final * first;
	if (!none || !learned || getenv("EBB_VERBOSE")) {
		ebb_text text = {0};
		ebb_flow_findings_text(f, 0, &text);
		printf("%s, seed %d, loss %g -> %g: %s\n%s", r->name, seed, first, last,
			!learned ? "LEARNED NOTHING"
			: none   ? "healthy"
				 : "ALARM",
			text.data);
		ebb_text_free(&text);
	}
	ck_assert(!none || ebb_flow_verdict(f).kind == EBB_VERDICT_HEALTHY);
	ebb_flow_free(f);
	ebb_optim_free(opt);
	ebb_loader_free(m.loader);
	ebb_dataset_free(m.digits);
	ebb_tape_free(t);
	ebb_params_free(m.p);
	return none && learned;
}

START_TEST(a_healthy_run_has_no_finding)
{
	const recipe *r = &recipes[_i];
	const char *more = getenv("EBB_SEEDS");
	int healthy = 0, seeds = more ? atoi(more) : r->seeds;
	const char *only = getenv("EBB_ONLY");

	if (only && !strstr(r->name, only))
		return;

	for (int seed = 1; seed <= seeds; seed++)
		healthy += is_healthy(r, seed);
	printf("%s: no finding in %d of %d runs of %d step%s\n", r->name, healthy, seeds, r->steps,
		r->steps > 1 ? "s" : "");
	ck_assert_int_eq(healthy, seeds);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-healthy");
	TCase *c = tcase_create("runs");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, a_healthy_run_has_no_finding, 0, RECIPES);
	suite_add_tcase(s, c);
	return run_suite(s);
}
