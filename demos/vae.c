/*
 * A convolutional variational autoencoder (Kingma & Welling 2014) on handwritten digits: MNIST's
 * files, or digits that the program draws itself.  The encoder maps an image to a normal
 * distribution of latent codes, the decoder maps a code to the probability that each pixel is
 * white.  The program writes one picture: images over their reconstructions, and images decoded
 * from codes that are drawn from the prior N(0,1).  With two latent numbers it also draws the plane
 * of codes.
 */
#include <ebb.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "keep.h"

enum { SIDE = 28, GRID = 7, NARROW = 16, WIDE = 32, HIDDEN = 256 };

typedef struct vae {
	int64_t latent;
	ebb_conv down1, down2;
	ebb_linear encode, mean, log_variance;
	ebb_linear decode, spread;
	ebb_conv_transpose2d_layer up1, up2;
} vae;

static vae vae_new(ebb_params *p, int64_t latent)
{
	return (vae){
		.latent = latent,
		.down1 = ebb_conv_new(p, "down1", 1, NARROW, 4, .stride = 2, .pad = 1),
		.down2 = ebb_conv_new(p, "down2", NARROW, WIDE, 4, .stride = 2, .pad = 1),
		.encode = ebb_linear_new(p, "encode", WIDE * GRID * GRID, HIDDEN),
		.mean = ebb_linear_new(p, "mean", HIDDEN, latent),
		.log_variance = ebb_linear_new(p, "log_variance", HIDDEN, latent),
		.decode = ebb_linear_new(p, "decode", latent, HIDDEN),
		.spread = ebb_linear_new(p, "spread", HIDDEN, WIDE * GRID * GRID),
		.up1 = ebb_conv_transpose2d_new(p, "up1", WIDE, NARROW, 4, .stride = 2, .pad = 1),
		.up2 = ebb_conv_transpose2d_new(p, "up2", NARROW, 1, 4, .stride = 2, .pad = 1),
	};
}

/* The distribution of an image's codes: independent normal distributions [N,latent]. */
typedef struct gaussian {
	ebb_tensor *mean, *log_variance;
} gaussian;

static gaussian encode(ebb_tape *t, const vae *net, ebb_tensor *x)
{
	x = ebb_relu(t, ebb_conv_forward(t, &net->down1, x));
	x = ebb_relu(t, ebb_conv_forward(t, &net->down2, x));
	x = ebb_relu(t, ebb_linear_forward(t, &net->encode, ebb_flatten(t, x)));
	return (gaussian){
		ebb_linear_forward(t, &net->mean, x), ebb_linear_forward(t, &net->log_variance, x)};
}

/* The reparameterisation: z = mean + std e with e from N(0,1), so that gradients reach mean and
 * std. */
static ebb_tensor *draw(ebb_tape *t, gaussian q)
{
	ebb_tensor *e = ebb_randn(t, ebb_shape_of(q.mean));
	ebb_tensor *std = ebb_exp(t, ebb_mul_scalar(t, q.log_variance, 0.5));

	return ebb_add(t, q.mean, ebb_mul(t, std, e));
}

/* z [N,latent] -> the logits of the pixels [N,1,28,28] */
static ebb_tensor *decode(ebb_tape *t, const vae *net, ebb_tensor *z)
{
	ebb_tensor *x = ebb_relu(t, ebb_linear_forward(t, &net->decode, z));

	x = ebb_relu(t, ebb_linear_forward(t, &net->spread, x));
	x = ebb_reshape(t, x, EBB_SHAPE(ebb_size(z, 0), WIDE, GRID, GRID));
	x = ebb_relu(t, ebb_conv_transpose2d_forward(t, &net->up1, x));
	return ebb_conv_transpose2d_forward(t, &net->up2, x);
}

/* Pixels above half of an image's brightest one are 1, others 0 (binarised digits, Larochelle &
 * Murray 2011): then the code does not describe contrast and noise, but the digit. */
static ebb_tensor *binarise(ebb_tape *t, ebb_tensor *x)
{
	ebb_tensor *brightest = ebb_max(t, x, EBB_AXES(1, 2, 3), .keepdim = true);

	return ebb_cast(t, ebb_greater(t, x, ebb_mul_scalar(t, brightest, 0.5)), ebb_dtype_of(x));
}

/* The two terms of the negative evidence lower bound, in nats per image:
 *	reconstruction = -E log p(x|z), estimated from one z
 *	KL(q(z|x) | N(0,1)) = 1/2 Σ (mean^2 + variance - log variance - 1) */
typedef struct bound {
	ebb_tensor *reconstruction, *kl;
} bound;

static bound bound_of(ebb_tape *t, const vae *net, ebb_tensor *x)
{
	gaussian q;

	x = binarise(t, x);
	q = encode(t, net, x);
	ebb_tensor *logits = decode(t, net, draw(t, q));
	double per_image = 1 / (double)ebb_size(x, 0);
	ebb_tensor *variance = ebb_exp(t, q.log_variance),
		   *excess = ebb_sub(t, variance, ebb_add_scalar(t, q.log_variance, 1)),
		   *kl = ebb_sum(t, ebb_add(t, ebb_square(t, q.mean), excess));

	return (bound){
		ebb_mul_scalar(
			t, ebb_bce_with_logits(t, logits, x, .reduction = EBB_SUM_ALL), per_image),
		ebb_mul_scalar(t, kl, per_image / 2)};
}

typedef struct settings {
	const char *mnist, *out;
	int64_t images; /* digits to draw for training; a tenth as many are drawn for testing */
	int epochs, batch, latent;
	double lr;
	uint64_t seed;
	keeping keep;
} settings;

static bool said_ok(const ebb_error *e)
{
	if (e)
		fprintf(stderr, "\n%s\n", e->message);
	return !e;
}

/* ---- Training ---- */

typedef struct sums {
	ebb_average reconstruction, kl;
} sums;

static double sums_add(sums *s, bound b, int64_t count)
{
	ebb_average_add(&s->reconstruction, ebb_item(b.reconstruction), (double)count);
	ebb_average_add(&s->kl, ebb_item(b.kl), (double)count);
	return ebb_average_value(&s->reconstruction) + ebb_average_value(&s->kl);
}

/* The bound on the images of a loader; the noise is the same in each epoch. */
static sums test(ebb_tape *t, const vae *net, ebb_loader *loader)
{
	ebb_random random = ebb_random_state(t);
	ebb_batch batch;
	sums s = {0};

	ebb_set_recording(t, false);
	ebb_seed(t, 1);
	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		sums_add(&s, bound_of(t, net, batch.images), batch.count);
		ebb_tape_reset(t);
	}
	ebb_set_recording(t, true);
	ebb_set_random_state(t, random);
	return s;
}

static bool train_epoch(ebb_tape *t, const vae *net, ebb_params *p, ebb_optim *opt,
	ebb_loader *loader, settings *s, int epoch, sums *now)
{
	int64_t batches = ebb_loader_batches(loader);
	bool terminal = cli_is_terminal(STDOUT_FILENO);
	ebb_batch batch;

	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		int64_t step = epoch * batches + batch.index;
		ebb_optim_set_lr(
			opt, s->lr * ebb_schedule_one_cycle(step, s->epochs * batches, 0, 0, 0));

		bound b = bound_of(t, net, batch.images);
		double mean = sums_add(now, b, batch.count);
		ebb_params_zero_grad(p);
		ebb_backward(t, ebb_add(t, b.reconstruction, b.kl));
		if (!ebb_optim_step(opt))
			break;
		ebb_tape_reset(t);

		char before[64], after[64];
		snprintf(before, sizeof before, "epoch %d/%d ", epoch + 1, s->epochs);
		snprintf(after, sizeof after, " %.1f nats", mean);
		if (terminal)
			cli_bar(before, (double)(batch.index + 1) / (double)batches, 28, after);
		if (!keep_step(&s->keep))
			break;
	}
	if (terminal)
		fputs("\r\033[K", stdout);
	return said_ok(ebb_first_error(t, p, opt, loader));
}

static void report(
	const settings *s, int epoch, const sums *now, const sums *tested, double images_per_second)
{
	char line[200];

	snprintf(line, sizeof line,
		"epoch %d/%d  reconstruction %.2f  KL %.2f  test: reconstruction %.2f  KL %.2f  "
		"%.0f images/s",
		epoch + 1, s->epochs, ebb_average_value(&now->reconstruction),
		ebb_average_value(&now->kl), ebb_average_value(&tested->reconstruction),
		ebb_average_value(&tested->kl), images_per_second);
	cli_wrap(0, line);
	fflush(stdout);
}

/* Adds to the checkpoint all state that the next step depends on, and the sums that are printed. */
static bool keep_all(
	settings *s, ebb_params *p, ebb_optim *opt, ebb_tape *t, ebb_loader *loader, sums *now)
{
	keeping *k = &s->keep;

	if (!keep_open(k, p, opt, t, loader))
		return false;
	ebb_saver_add(k->saver, "reconstruction", &now->reconstruction);
	ebb_saver_add(k->saver, "kl", &now->kl);
	keep_setting(k, "--lr", s->lr);
	keep_setting(k, "--epochs", s->epochs);
	keep_setting(k, "--latent", s->latent);
	keep_setting(k, "--seed", (double)s->seed);
	return keep_begin(k);
}

/* ---- The picture ---- */

enum { COLUMNS = 20, PAIRS = 3, SAMPLE_ROWS = 5, PLANE = COLUMNS, GAP = 10 };

/* Draws cells [N,1,28,28] with values in [0,1], COLUMNS to a row, below what y has already. */
static bool add_rows(ebb_image *y, const ebb_tensor *cells, int64_t pad, ebb_error *e)
{
	ebb_image part = {0}, old = {0};
	bool ok = ebb_image_grid(&part, cells, .columns = COLUMNS, .pad = pad, .error = e);

	if (ok && y->pixels) {
		int64_t width = part.width > y->width ? part.width : y->width,
			top = y->height + GAP;

		ok = ebb_image_copy(y, &old, e) &&
		     ebb_image_shape(y, top + part.height, width, 1, e);
		if (ok) {
			memset(y->pixels, 255, (size_t)(y->height * width));
			for (int64_t r = 0; r < old.height; r++)
				memcpy(y->pixels + r * width, old.pixels + r * old.width,
					(size_t)old.width);
			for (int64_t r = 0; r < part.height; r++)
				memcpy(y->pixels + (top + r) * width + (width - part.width) / 2,
					part.pixels + r * part.width, (size_t)part.width);
		}
	} else if (ok) {
		ok = ebb_image_copy(&part, y, e);
	}
	ebb_image_free(&part);
	ebb_image_free(&old);
	return ok;
}

/* COLUMNS images in a row, and their reconstructions in the row below, up to PAIRS times.  x has at
 * least COLUMNS images. */
static ebb_tensor *pairs(ebb_tape *t, const vae *net, ebb_tensor *x)
{
	ebb_tensor *y = ebb_sigmoid(t, decode(t, net, encode(t, net, x).mean)), *rows[2 * PAIRS];
	int n = 0;

	for (int k = 0; k < PAIRS && (k + 1) * COLUMNS <= ebb_size(x, 0); k++) {
		rows[n++] = ebb_slice(t, x, 0, k * COLUMNS, (k + 1) * COLUMNS, 1);
		rows[n++] = ebb_slice(t, y, 0, k * COLUMNS, (k + 1) * COLUMNS, 1);
	}
	return ebb_concat(t, n, rows, 0);
}

/* The value below which a number from N(0,1) lies with probability p: a bisection. */
static double quantile(double p)
{
	double low = -9, high = 9;

	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		if (erfc(-middle / sqrt(2)) / 2 < p)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Codes [PLANE^2,2] at the quantiles of the prior, so that each has the same probability. */
static ebb_tensor *plane(ebb_tape *t)
{
	float z[PLANE * PLANE][2];

	for (int i = 0; i < PLANE; i++)
		for (int k = 0; k < PLANE; k++) {
			z[i * PLANE + k][0] = (float)quantile((k + 0.5) / PLANE);
			z[i * PLANE + k][1] = (float)quantile(1 - (i + 0.5) / PLANE);
		}
	return ebb_from_f32(t, EBB_SHAPE(PLANE * PLANE, 2), z[0]);
}

static bool draw_picture(const settings *s, ebb_tape *t, const vae *net, const ebb_dataset *data)
{
	char path[1000];
	ebb_error e = {0};
	ebb_image y = {0};
	ebb_batch batch;
	ebb_loader *loader = ebb_loader_new(data, COLUMNS * PAIRS, .error = &e);

	ebb_set_recording(t, false);
	ebb_seed(t, s->seed);
	bool ok = ebb_loader_next(loader, &batch) &&
	          add_rows(&y, pairs(t, net, binarise(t, batch.images)), 2, &e);
	ebb_tensor *z = ebb_randn(t, EBB_SHAPE(COLUMNS * SAMPLE_ROWS, s->latent));
	ok = ok && add_rows(&y, ebb_sigmoid(t, decode(t, net, z)), 2, &e);
	if (ok && s->latent == 2)
		ok = add_rows(&y, ebb_sigmoid(t, decode(t, net, plane(t))), EBB_NO_PAD, &e);
	ok = said_ok(ebb_first_error(t, loader)) && ok;
	snprintf(path, sizeof path, "%s/vae.png", s->out);
	ok = ok && cli_make_directory(s->out) && ebb_image_write_png(path, &y, &e);
	if (e.status != EBB_OK)
		fprintf(stderr, "%s\n", e.message);
	if (ok)
		printf("%s: images over their reconstructions, samples%s\n", path,
			s->latent == 2 ? ", the plane of codes" : "");
	ebb_image_free(&y);
	ebb_tape_reset(t);
	ebb_loader_free(loader);
	return ok;
}

/* ---- The run ---- */

static bool train(settings *s, ebb_loader *training, ebb_loader *testing, const ebb_dataset *shown)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(s->seed);
	vae net = vae_new(p, s->latent);
	ebb_optim *opt = ebb_adam(p, .lr = s->lr);
	sums now = {0};
	bool ok = said_ok(ebb_first_error(t, p, opt));

	ebb_seed(t, s->seed);
	if (ok)
		printf("%d latent numbers, %lld parameters; nats per image:\n", s->latent,
			(long long)ebb_params_elements(p));
	ok = ok && keep_all(s, p, opt, t, training, &now);
	for (int64_t epoch = ebb_loader_epoch(training); ok && epoch < s->epochs; epoch++) {
		double began = cli_now();

		ok = train_epoch(t, &net, p, opt, training, s, (int)epoch, &now);
		if (!ok || s->keep.ended)
			break;
		double images = now.kl.weight / (cli_now() - began);
		sums tested = test(t, &net, testing);
		ok = said_ok(ebb_first_error(t, testing));
		report(s, (int)epoch, &now, &tested, images);
		now = (sums){0};
		if (ok && !keep_epoch(&s->keep, -ebb_average_value(&tested.reconstruction) -
							ebb_average_value(&tested.kl)))
			break;
	}
	ok = keep_close(&s->keep) && ok;
	if (ok && !s->keep.ended)
		ok = draw_picture(s, t, &net, shown);
	ebb_optim_free(opt);
	ebb_tape_free(t);
	ebb_params_free(p);
	return ok;
}

static const char help[] =
	"vae: trains a variational autoencoder on handwritten digits, and draws what it has "
	"learnt\n"
	"\n"
	"  --mnist DIR    MNIST's files, plain or gzipped (default: digits drawn by the program)\n"
	"  --images N     number of digits to draw for training, and a tenth as many for testing\n"
	"                 (at least 200, default 20000)\n"
	"  --latent N     numbers in a latent code; 2 draws the plane of codes (default 16)\n"
	"  --epochs N     (default 10)\n"
	"  --batch N      (default 64)\n"
	"  --lr X         the highest learning rate of the one-cycle schedule (default 0.002)\n"
	"  --seed N       for initial weights, drawn digits, order and noise (default 1)\n"
	"  --threads N    number of threads (default: all processors)\n"
	"  --out DIR      the folder for the picture, vae.png (default: the current "
	"one)\n" KEEP_HELP
	"  --every N      saves a checkpoint also every N steps, not only after every epoch\n"
	"  --help         this text\n";

static settings parse(int argc, char **argv, int *status)
{
	static const struct option options[] = {{"mnist", required_argument, NULL, 'm'},
		{"images", required_argument, NULL, 'i'}, {"latent", required_argument, NULL, 'z'},
		{"epochs", required_argument, NULL, 'e'}, {"batch", required_argument, NULL, 'b'},
		{"lr", required_argument, NULL, 'l'}, {"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'}, {"out", required_argument, NULL, 'o'},
		KEEP_OPTIONS, {"help", no_argument, NULL, 'h'}, {0}};
	settings s = {.out = ".",
		.images = 20000,
		.epochs = 10,
		.batch = 64,
		.latent = 16,
		.lr = 0.002,
		.seed = 1};

	*status = -1;
	for (int o; *status < 0 && (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'm')
			s.mnist = optarg;
		else if (o == 'i')
			s.images = cli_int("--images", optarg, 10 * COLUMNS, 10000000);
		else if (o == 'z')
			s.latent = (int)cli_int("--latent", optarg, 1, 1024);
		else if (o == 'e')
			s.epochs = (int)cli_int("--epochs", optarg, 1, 10000);
		else if (o == 'b')
			s.batch = (int)cli_int("--batch", optarg, 1, 100000);
		else if (o == 'l')
			s.lr = cli_double("--lr", optarg, 0, 100);
		else if (o == 's')
			s.seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX - 1);
		else if (o == 't')
			cli_threads(optarg);
		else if (o == 'o')
			s.out = optarg;
		else if (o == 'h')
			*status = fputs(help, stdout) < 0;
		else if (!keep_option(&s.keep, o, optarg))
			*status = 2;
	}
	if (*status < 0) {
		cli_no_arguments(argc, argv, optind);
		keep_check(&s.keep);
	}
	return s;
}

int main(int argc, char **argv)
{
	cli_begin();
	int status;
	settings s = parse(argc, argv, &status);
	ebb_error e = {0};

	if (status >= 0)
		return status;
	ebb_dataset *training =
		s.mnist ? ebb_mnist(s.mnist, EBB_TRAIN, &e) : ebb_digits(s.images, s.seed, &e);
	ebb_dataset *testing = !training ? NULL
	                       : s.mnist ? ebb_mnist(s.mnist, EBB_TEST, &e)
	                                 : ebb_digits(s.images / 10, s.seed + 1, &e);
	ebb_loader *train_loader = NULL, *test_loader = NULL;
	if (training && testing) {
		/* Pixels stay in [0,1]: they are the targets of the cross-entropy. */
		train_loader = ebb_loader_new(
			training, s.batch, .shuffle = true, .seed = s.seed, .error = &e);
		test_loader = ebb_loader_new(testing, s.batch, .error = &e);
	}
	bool ok = train_loader && test_loader;
	if (ok)
		printf("%lld images to train, %lld to test\n", (long long)training->count,
			(long long)testing->count);
	else
		fprintf(stderr, "%s\n", e.message);
	ok = ok && train(&s, train_loader, test_loader, testing);
	ebb_loader_free(train_loader);
	ebb_loader_free(test_loader);
	ebb_dataset_free(training);
	ebb_dataset_free(testing);
	return keep_exit(&s.keep, ok ? 0 : 1);
}
