/* train.c - the text, and the training. */
#include "chars.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../cli.h"

enum { TEST_WINDOWS = 512, WARMUP = 100, MEASURED = 20, REPORTS = 10, STANDARD_BYTES = 1 << 20 };

/* ---- The text ---- */

typedef struct text {
	ebb_vocabulary *v;
	ebb_dataset *train, *test; /* windows; the last tenth of the text is for the test */
	int64_t count, tested;     /* characters, those of the test */
	int64_t checksum;          /* tells texts apart */
} text;

/* The text without --text: licences that every Debian system has, or this project's pages. */
static const char *const standard[] = {"/usr/share/common-licenses/Apache-2.0",
	"/usr/share/common-licenses/Artistic", "/usr/share/common-licenses/GFDL-1.3",
	"/usr/share/common-licenses/GPL-3", "/usr/share/common-licenses/LGPL-2.1",
	"/usr/share/common-licenses/MPL-1.1", "/usr/share/common-licenses/MPL-2.0"};
static const char *const pages[] = {
	"README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/custom-ops.md"};

static size_t read_files(const char *const *path, size_t files, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < files; i++) {
		FILE *f = fopen(path[i], "rb");

		n += f ? fread(to + n, 1, STANDARD_BYTES - n, f) : 0;
		if (f)
			fclose(f);
	}
	return n;
}

static ebb_tensor *standard_tokens(ebb_vocabulary **v, ebb_error *e)
{
	char *bytes = malloc(STANDARD_BYTES);
	size_t n = bytes ? read_files(standard, sizeof standard / sizeof *standard, bytes) : 0;
	ebb_tensor *tokens = NULL;

	if (bytes && n == 0)
		n = read_files(pages, sizeof pages / sizeof *pages, bytes);
	if (n > 0)
		*v = ebb_vocabulary_new(bytes, (int64_t)n, e);
	else
		ebb_error_set(e, EBB_BAD_FILE, NULL, "no standard text was found (see --text)");
	if (*v)
		tokens = ebb_vocabulary_encode(*v, bytes, (int64_t)n, e);
	free(bytes);
	return tokens;
}

static int64_t sum_of(const ebb_tensor *tokens)
{
	const int64_t *token = ebb_data(tokens);
	uint64_t sum = 0;

	for (int64_t i = 0; i < ebb_count(tokens); i++)
		sum = (sum ^ (uint64_t)token[i]) * 0x100000001B3u;
	return (int64_t)(sum >> 1);
}

/* Reads --text, or the standard text.  Any character of the training text may begin a window; the
 * windows of the test do not overlap.  False with a message on stderr. */
static bool read_text(text *x, ebb_tape *t, const settings *s)
{
	ebb_error e = {0};
	ebb_tensor *tokens =
		s->text ? ebb_tokens_read(s->text, &x->v, .error = &e) : standard_tokens(&x->v, &e);

	x->count = ebb_count(tokens);
	x->tested = x->count / 10;
	if (tokens && x->tested <= s->context) {
		ebb_error_set(&e, EBB_INVALID, NULL,
			"%s: %lld characters: expected more than ten times --context %lld",
			s->text ? s->text : "the standard text", (long long)x->count,
			(long long)s->context);
	} else if (tokens) {
		int64_t trained = x->count - x->tested;

		x->checksum = sum_of(tokens);
		x->train = ebb_windows(ebb_slice(t, tokens, 0, 0, trained, 1), .stride = 1,
			.context = s->context, .error = &e);
		x->test = ebb_windows(ebb_slice(t, tokens, 0, trained, x->count, 1),
			.context = s->context, .error = &e);
		ebb_tape_reset(t);
	}
	ebb_tensor_free(tokens);
	return said_ok(x->test && x->train ? NULL : &e);
}

static void free_text(text *x)
{
	ebb_dataset_free(x->train);
	ebb_dataset_free(x->test);
	ebb_vocabulary_free(x->v);
}

/* ---- Training ---- */

typedef struct run {
	settings *s;
	text x;
	ebb_tape *t;
	ebb_params *p;
	ebb_gpt net;
	ebb_optim *opt;
	ebb_loader *train, *test;
	int64_t planned; /* steps of the whole run; 0: not yet known, with --minutes */
	ebb_average bits;
} run;

/* The loss in nats per character: each character of a window predicts the one after it. */
static ebb_tensor *loss_of(const run *r, const ebb_batch *b)
{
	int64_t n = ebb_count(b->targets);
	ebb_tensor *logits = ebb_gpt_forward(r->t, &r->net, b->inputs);

	return ebb_cross_entropy(r->t, ebb_reshape(r->t, logits, EBB_SHAPE(n, r->net.vocabulary)),
		ebb_reshape(r->t, b->targets, EBB_SHAPE(n)));
}

/* Bits per character on the held-out text. */
static double held_out(const run *r)
{
	ebb_average bits = {0};
	int64_t done = 0;
	ebb_batch b;

	ebb_set_training(r->t, false);
	ebb_set_recording(r->t, false);
	ebb_loader_begin(r->test, 0);
	while (done < TEST_WINDOWS && !ebb_failed(r->t) && ebb_loader_next(r->test, &b)) {
		ebb_average_add(&bits, ebb_item(loss_of(r, &b)) / log(2), (double)b.count);
		ebb_tape_reset(r->t);
		done += b.count;
	}
	ebb_set_recording(r->t, true);
	ebb_set_training(r->t, true);
	return ebb_average_value(&bits);
}

static bool went_well(const run *r)
{
	return said_ok(ebb_first_error(r->t, r->p, r->opt, r->train, r->test));
}

/* One step; the learning rate rises for WARMUP steps, but at most a tenth of the run, and then
 * falls to a tenth. */
static bool step(run *r, int64_t i)
{
	int64_t warmup = r->planned && r->planned < 10 * WARMUP ? r->planned / 10 + 1 : WARMUP;
	double lr = r->s->lr * ebb_schedule_warmup(i, warmup);
	ebb_batch b;
	bool got = false;

	if (r->planned)
		lr *= ebb_schedule_cosine(i, r->planned, 0.1);
	ebb_optim_set_lr(r->opt, lr);
	/* At the end of an epoch the second call begins the next one. */
	for (int call = 0; call < 2 && !got; call++)
		got = ebb_loader_next(r->train, &b);
	if (!got)
		return went_well(r);
	ebb_tensor *loss = loss_of(r, &b);
	ebb_average_add(&r->bits, ebb_item(loss) / log(2), 1);
	ebb_params_zero_grad(r->p);
	ebb_backward(r->t, loss);
	ebb_clip_grad_norm(r->p, 1);
	ebb_optim_step(r->opt);
	ebb_tape_reset(r->t);
	return went_well(r);
}

static void report(run *r, int64_t done, double seconds, int64_t steps)
{
	double test = held_out(r);
	char line[200];

	snprintf(line, sizeof line,
		"step %lld/%lld  %.3f bits per character, held out %.3f  %.0f characters/s",
		(long long)done, (long long)r->planned, ebb_average_value(&r->bits), test,
		(double)(steps * r->s->batch * r->s->context) / seconds);
	cli_wrap(0, line);
	fflush(stdout);
	r->bits = (ebb_average){0};
}

/* Draws a bar at most ten times a second, on a terminal. */
static void show(const run *r, int64_t done, double *drawn)
{
	char before[64];

	if (!cli_is_terminal(STDOUT_FILENO) || !r->planned || cli_now() - *drawn < 0.1)
		return;
	*drawn = cli_now();
	snprintf(before, sizeof before, "step %lld/%lld ", (long long)done, (long long)r->planned);
	cli_bar(before, (double)done / (double)r->planned, 28, "");
}

static bool train_steps(run *r)
{
	settings *s = r->s;
	double began = cli_now(), since = began, drawn = 0;
	int64_t counted = 0;

	for (int64_t i = s->keep.step; !r->planned || i < r->planned; i++) {
		if (!step(r, i))
			return false;
		counted++;
		if (!r->planned && counted == MEASURED)
			r->planned =
				i + 1 + (int64_t)(60 * s->minutes * MEASURED / (cli_now() - began));
		show(r, i + 1, &drawn);
		if (r->planned && ((i + 1) % ((r->planned + REPORTS - 1) / REPORTS) == 0 ||
					  i + 1 == r->planned)) {
			if (drawn > 0)
				fputs("\r\033[K", stdout);
			report(r, i + 1, cli_now() - since, counted);
			since = cli_now();
			counted = 0;
		}
		if (!keep_step(&s->keep))
			break;
	}
	return went_well(r);
}

/* ---- The run ---- */

/* Whether the checkpoint, if there is one, is of a run on this text.  False with a message on
 * stderr.  A file that cannot be read is left to the saver. */
static bool text_agrees(const run *r)
{
	const settings *s = r->s;
	const char *path = ebb_saver_newest(s->keep.saver), *what = NULL;
	ebb_archive *a = s->keep.resume && path ? ebb_archive_read(path) : NULL;
	ebb_tensor *codes = a ? ebb_archive_tensor(a, "vocabulary", EBB_I64, NULL) : NULL;
	ebb_tensor *sum = codes ? ebb_archive_tensor(a, "text", EBB_I64, NULL) : NULL;
	int64_t size = ebb_count(codes), saved = 0;

	if (codes && size != r->x.v->size)
		what = "vocabulary";
	for (int64_t i = 0; codes && !what && i < size; i++)
		if (ebb_at(codes, i) != ebb_at(r->x.v->codes, i))
			what = "vocabulary";
	if (sum && !what && ebb_copy_out(sum, &saved, sizeof saved) && saved != r->x.checksum)
		what = "text";
	if (what)
		fprintf(stderr,
			"%s: the run has another %s (%lld different characters) than %s (%lld) and "
			"cannot be resumed with it\n",
			path, what, (long long)size, s->text ? s->text : "the standard text",
			(long long)r->x.v->size);
	ebb_tensor_free(codes);
	ebb_tensor_free(sum);
	ebb_archive_free(a);
	return !what;
}

/* Adds all that the next step depends on, and all that --sample-only reads. */
static bool keep_all(run *r, double *sizes)
{
	keeping *k = &r->s->keep;

	if (!keep_open(k, r->p, r->opt, r->t, r->train))
		return false;
	ebb_saver_add(k->saver, "planned", &r->planned);
	ebb_saver_add(k->saver, "bits", &r->bits);
	ebb_saver_add(k->saver, "vocabulary", r->x.v->codes);
	ebb_saver_add(k->saver, "text", &r->x.checksum);
	ebb_saver_add_f64s(k->saver, "sizes", sizes, 4);
	keep_setting(k, "--steps", (double)r->s->steps);
	keep_setting(k, "--minutes", r->s->minutes);
	keep_setting(k, "--heads", (double)r->s->heads);
	keep_setting(k, "--lr", r->s->lr);
	keep_setting(k, "--dropout", r->s->dropout);
	keep_setting(k, "--seed", (double)r->s->seed);
	return text_agrees(r) && keep_begin(k);
}

static bool begin(run *r)
{
	settings *s = r->s;
	ebb_error e = {0};

	r->net = ebb_gpt_new(r->p, r->x.v->size, s->context, s->layers, s->heads, s->width,
		.dropout = s->dropout);
	r->opt = ebb_adamw(r->p, .lr = s->lr, .betas = {0.9, 0.99}, .weight_decay = 0.1);
	r->train = ebb_loader_new(r->x.train, s->batch, .shuffle = true, .seed = s->seed,
		.drop_last = true, .error = &e);
	r->test = ebb_loader_new(r->x.test, s->batch, .error = &e);
	if (!said_ok(ebb_first_error(r->t, r->p, r->opt)) ||
		!said_ok(r->train && r->test ? NULL : &e))
		return false;
	printf("%lld characters, %lld of them held out; %lld different ones; %lld parameters\n",
		(long long)r->x.count, (long long)r->x.tested, (long long)r->x.v->size,
		(long long)ebb_params_elements(r->p));
	fflush(stdout);
	return true;
}

/* Whether the vocabulary has the prompt, so that a mistake is reported before the training. */
static bool prompt_fits(const settings *s, const ebb_vocabulary *v)
{
	ebb_tensor *prompt = read_prompt(s, v);
	bool ok = prompt != NULL;

	ebb_tensor_free(prompt);
	return ok;
}

bool train(settings *s)
{
	double sizes[] = {
		(double)s->context, (double)s->layers, (double)s->heads, (double)s->width};
	run r = {.s = s, .t = ebb_tape_new(), .p = ebb_params_new(s->seed), .planned = s->steps};

	ebb_seed(r.t, s->seed);
	bool ok = read_text(&r.x, r.t, s) && prompt_fits(s, r.x.v) && begin(&r);
	ok = ok && keep_all(&r, sizes) && train_steps(&r);
	ok = ok && (s->keep.ended || keep_epoch(&s->keep, NAN) || s->keep.ended);
	ok = keep_close(&s->keep) && ok;
	if (ok && !s->keep.ended)
		ok = write_sample(s, &r.net, r.x.v);
	ebb_loader_free(r.train);
	ebb_loader_free(r.test);
	ebb_optim_free(r.opt);
	ebb_tape_free(r.t);
	ebb_params_free(r.p);
	free_text(&r.x);
	return ok;
}
