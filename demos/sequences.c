/*
 * Sequences of different lengths: remember the first symbol (the latch problem of Bengio, Simard &
 * Frasconi 1994; Hochreiter & Schmidhuber 1997 use it too).  The first of T symbols is one of four,
 * the others are noise, and after the last one the network must name the first.  T is drawn for
 * every batch, so the depth of the graph depends on the data: the loop over time is a C for loop.
 *
 * Before and after training, the program prints the gradient of the loss with respect to the state
 * k steps back, for the longest sequences.  The network can learn to remember the first symbol only
 * if the gradient at the first step has not vanished.
 */
#include <ebb.h>
#include <getopt.h>
#include <stdio.h>

#include "cli.h"
#include "keep.h"

enum { CLASSES = 4, NOISE = 4, SYMBOLS = CLASSES + NOISE, HIDDEN = 32, BATCH = 32, LONGEST = 500 };
enum { RNN, LSTM, GRU, ALL };

typedef struct model {
	int kind;
	ebb_rnn_cell rnn;
	ebb_lstm_cell lstm;
	ebb_gru_cell gru;
	ebb_linear out;
} model;

static model model_new(ebb_params *p, int kind)
{
	model m = {.kind = kind, .out = ebb_linear_new(p, "out", HIDDEN, CLASSES)};

	if (kind == LSTM)
		m.lstm = ebb_lstm_cell_new(p, "cell", SYMBOLS, HIDDEN);
	else if (kind == GRU)
		m.gru = ebb_gru_cell_new(p, "cell", SYMBOLS, HIDDEN);
	else
		m.rnn = ebb_rnn_cell_new(p, "cell", SYMBOLS, HIDDEN);
	return m;
}

static ebb_lstm_state step(ebb_tape *t, const model *m, ebb_tensor *x, ebb_lstm_state s)
{
	if (m->kind == LSTM)
		return ebb_lstm_cell_forward(t, &m->lstm, x, s);
	if (m->kind == GRU)
		return (ebb_lstm_state){.h = ebb_gru_cell_forward(t, &m->gru, x, s.h)};
	return (ebb_lstm_state){.h = ebb_rnn_cell_forward(t, &m->rnn, x, s.h)};
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Draws one symbol for each sequence of the batch, as one-hot rows; which[BATCH] receives the
 * symbols. */
static ebb_tensor *draw(ebb_tape *t, uint64_t *random, int first, int count, int64_t *which)
{
	float rows[BATCH][SYMBOLS] = {{0}};

	for (int n = 0; n < BATCH; n++) {
		which[n] = first + (int64_t)(next_random(random) % (uint64_t)count);
		rows[n][which[n]] = 1;
	}
	return ebb_from_f32(t, EBB_SHAPE(BATCH, SYMBOLS), rows[0]);
}

typedef struct outcome {
	ebb_tensor *loss;
	double accuracy;
} outcome;

/* Runs a batch of sequences of one length.  memory[k] receives the state after step k: h, or the
 * LSTM's c. */
static outcome run(
	ebb_tape *t, const model *m, uint64_t *random, int length, ebb_tensor *memory[LONGEST])
{
	int64_t answer[BATCH], noise[BATCH];
	ebb_lstm_state s = {0};

	for (int k = 0; k < length; k++) {
		ebb_tensor *x = k == 0 ? draw(t, random, 0, CLASSES, answer)
		                       : draw(t, random, CLASSES, NOISE, noise);

		s = step(t, m, x, s);
		memory[k] = s.c ? s.c : s.h;
	}
	ebb_tensor *y = ebb_linear_forward(t, &m->out, s.h);
	ebb_tensor *labels = ebb_from_i64(t, EBB_SHAPE(BATCH), answer);
	return (outcome){ebb_cross_entropy(t, y, labels), ebb_accuracy(y, labels)};
}

/* Prints |d loss/d memory| k steps back, for k = 0, 1, 2, 4, .. and the first step, and its ratio
 * to that of the last state. */
static void print_gradients(ebb_tape *t, const model *m, uint64_t random, int length)
{
	ebb_tensor *memory[LONGEST], *g[LONGEST];
	outcome o = run(t, m, &random, length, memory);

	if (!ebb_grad(t, o.loss, length, memory, g))
		return;
	double last = ebb_item(ebb_norm(t, g[length - 1]));
	printf("  %10s  %s     share\n", "steps back", "|gradient|");
	for (int k = 0;; k = k ? 2 * k : 1) {
		int back = k < length - 1 ? k : length - 1;

		double norm = ebb_item(ebb_norm(t, g[length - 1 - back]));

		printf("  %10d    %.2e  %.0e\n", back, norm, last > 0 ? norm / last : 0);
		if (back == length - 1)
			break;
	}
	ebb_tape_reset(t);
}

/* The accuracy on 10 batches of the longest sequences. */
static double test(ebb_tape *t, const model *m, uint64_t random, int length)
{
	ebb_tensor *memory[LONGEST];
	ebb_average right = {0};

	ebb_set_recording(t, false);
	for (int i = 0; i < 10; i++) {
		ebb_average_add(&right, run(t, m, &random, length, memory).accuracy, BATCH);
		ebb_tape_reset(t);
	}
	ebb_set_recording(t, true);
	return ebb_average_value(&right);
}

/* False after an error, or if a signal has ended the run. */
static bool train(ebb_tape *t, ebb_params *p, const model *m, uint64_t *random, int steps,
	int length, uint64_t seed, keeping *keep)
{
	ebb_optim *opt = ebb_adam(p, .lr = 0.005);
	ebb_tensor *memory[LONGEST];
	ebb_average loss = {0}, right = {0};
	bool ok = keep_open(keep, p, opt, NULL, NULL);

	/* There is no loader to save: the state of the random generator decides all later
	 * batches. */
	ebb_saver_add(keep->saver, "random", random);
	ebb_saver_add(keep->saver, "loss", &loss);
	ebb_saver_add(keep->saver, "right", &right);
	keep_setting(keep, "--length", length);
	keep_setting(keep, "--steps", steps);
	keep_setting(keep, "--seed", (double)seed);
	ok = ok && keep_begin(keep);
	/* keep->step may come from a file, and be larger than steps. */
	int done = keep->step < steps ? (int)keep->step : steps;
	for (int i = done + 1; ok && i <= steps && !ebb_failed(t); i++) {
		int drawn = 2 + (int)(next_random(random) % (uint64_t)(length - 1));
		outcome o = run(t, m, random, drawn, memory);

		ebb_average_add(&loss, ebb_item(o.loss), BATCH);
		ebb_average_add(&right, o.accuracy, BATCH);
		ebb_params_zero_grad(p);
		ebb_backward(t, o.loss);
		ebb_clip_grad_norm(p, 1);
		ebb_optim_step(opt);
		ebb_tape_reset(t);
		if (i % ((steps + 3) / 4) == 0 || i == steps) {
			printf("  step %d: loss %.3f, %.1f %% right\n", i, ebb_average_value(&loss),
				100 * ebb_average_value(&right));
			loss = right = (ebb_average){0};
		}
		ok = keep_step(keep);
	}
	ok = keep_close(keep) && ok;
	ebb_optim_free(opt);
	return ok;
}

/* Returns the exit status. */
static int show(int kind, const char *name, int steps, int length, uint64_t seed, keeping *keep)
{
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(seed);
	model m = model_new(p, kind);
	uint64_t random = seed + 1;

	printf("%s%s, lengths 2 to %d\n", kind == LSTM ? "lstm (gradients of c)" : name,
		kind == LSTM ? "" : " (gradients of h)", length);
	puts("  before training:");
	print_gradients(t, &m, seed, length);
	bool ok = train(t, p, &m, &random, steps, length, seed, keep);
	if (ok) {
		puts("  after training:");
		print_gradients(t, &m, seed, length);
		printf("  %s: %.1f %% right at length %d\n\n", name,
			100 * test(t, &m, seed, length), length);
	}
	int status = !ok || ebb_failed(t) || ebb_params_error(p);
	if (ebb_params_error(p))
		fprintf(stderr, "%s\n", ebb_params_error(p)->message);
	else if (ebb_failed(t))
		fprintf(stderr, "%s\n", ebb_error_message(t));
	ebb_tape_free(t);
	ebb_params_free(p);
	return status;
}

static const char help[] =
	"sequences: which recurrent cell learns to remember the first symbol of a sequence?\n"
	"\n"
	"  --cell NAME    rnn, lstm, gru or all (default all)\n"
	"  --steps N      number of batches to train on (default 1000)\n"
	"  --length N     length of the longest sequence, 2 to 500 (default 100)\n"
	"  --seed N       for weights and sequences (default 1)\n" KEEP_HELP
	"                 (--checkpoint requires a single --cell)\n"
	"  --every N      steps from one checkpoint to the next (default: a quarter "
	"of all)\n"
	"  --help         this text\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cell", required_argument, NULL, 'c'},
		{"steps", required_argument, NULL, 's'}, {"length", required_argument, NULL, 'l'},
		{"seed", required_argument, NULL, 'r'}, KEEP_OPTIONS,
		{"help", no_argument, NULL, 'h'}, {0}};
	static const char *const names[] = {"rnn", "lstm", "gru", "all", NULL};
	int cell = ALL, steps = 1000, length = 100, status = 0;
	uint64_t seed = 1;
	keeping keep = {0};

	cli_begin();
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h')
			return fputs(help, stdout), 0;
		if (o == 'c')
			cell = cli_choice("--cell", optarg, names);
		else if (o == 's')
			steps = (int)cli_int("--steps", optarg, 1, 1000000);
		else if (o == 'l')
			length = (int)cli_int("--length", optarg, 2, LONGEST);
		else if (o == 'r')
			seed = (uint64_t)cli_int("--seed", optarg, 0, INT64_MAX);
		else if (!keep_option(&keep, o, optarg))
			return 2;
	}
	cli_no_arguments(argc, argv, optind);
	keep_check(&keep);
	if (keep.path && cell == ALL)
		return fputs("--checkpoint requires one --cell (see --help)\n", stderr), 2;
	if (!keep.every)
		keep.every = (steps + 3) / 4;
	for (int kind = RNN; kind < ALL; kind++)
		if (cell == kind || cell == ALL)
			status |= show(kind, names[kind], steps, length, seed, &keep);
	return keep_exit(&keep, status);
}
