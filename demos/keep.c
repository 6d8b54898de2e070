/* keep.c - checkpoints for the demos that train. */
#include "keep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* ---- The command line ---- */

bool keep_option(keeping *k, int o, const char *argument)
{
	if (o == 'C')
		k->path = argument;
	else if (o == 'R')
		k->resume = true;
	else if (o == 'K')
		k->last = (int)cli_int("--keep", argument, 1, 1000000);
	else if (o == 'E')
		k->every = cli_int("--every", argument, 1, INT64_MAX - 1);
	else
		return false;
	return true;
}

void keep_check(const keeping *k)
{
	if (k->path || (!k->resume && !k->last && !k->every))
		return;
	fprintf(stderr, "%s requires --checkpoint FILE (see --help)\n",
		k->resume ? "--resume"
		: k->last ? "--keep"
			  : "--every");
	exit(2);
}

/* ---- The run ---- */

bool keep_open(keeping *k, ebb_params *p, ebb_optim *opt, ebb_tape *t, ebb_loader *loader)
{
	ebb_error e = {0};

	if (!k->path)
		return true;
	k->saver = ebb_saver_new(k->path, .keep = k->last, .background = true, .error = &e);
	if (!k->saver)
		return fprintf(stderr, "%s\n", e.message), false;
	cli_catch_signals();
	ebb_saver_add(k->saver, "model", p);
	ebb_saver_add(k->saver, "optimizer", opt);
	if (t)
		ebb_saver_add(k->saver, "tape", t);
	if (loader)
		ebb_saver_add(k->saver, "loader", loader);
	return true;
}

/* Prints the saver's error, if there is one, and clears it, so that a later error is printed
 * too. */
static bool say_error(keeping *k)
{
	const ebb_error *e = ebb_saver_error(k->saver);

	if (e)
		fprintf(stderr, "\n%s\n", e->message);
	ebb_saver_clear_error(k->saver);
	return !e;
}

void keep_setting(keeping *k, const char *option, double value)
{
	int n = k->settings;
	char name[40];

	if (!k->saver || n == MOST_SETTINGS)
		return;
	k->setting[n].option = option;
	k->setting[n].given = k->setting[n].saved = value;
	snprintf(name, sizeof name, "settings.%s", option + 2); /* without the dashes */
	ebb_saver_add(k->saver, name, &k->setting[n].saved);
	k->settings++;
}

static bool settings_agree(const keeping *k)
{
	bool ok = true;

	for (int i = 0; i < k->settings; i++)
		if (k->setting[i].given != k->setting[i].saved) {
			fprintf(stderr, "%s: the run has %s %g and cannot be resumed with %g\n",
				k->path, k->setting[i].option, k->setting[i].saved,
				k->setting[i].given);
			ok = false;
		}
	return ok;
}

bool keep_begin(keeping *k)
{
	if (!k->saver)
		return true;
	const char *newest = ebb_saver_newest(k->saver);
	if (newest && !k->resume) {
		fprintf(stderr,
			"%s: already holds a run: continue it by --resume, or remove it to begin "
			"a new one\n",
			newest);
		return false;
	}
	int64_t step = ebb_saver_resume(k->saver);
	if (!say_error(k))
		return false;
	if (ebb_saver_note(k->saver))
		fprintf(stderr, "skipped: %s\n", ebb_saver_note(k->saver));
	if (!settings_agree(k))
		return false;
	k->step = step < 0 ? 0 : step;
	if (step >= 0)
		printf("resumed after step %lld\n", (long long)step);
	return true;
}

/* A checkpoint that cannot be saved does not stop the training. */
static void save(keeping *k)
{
	k->failed = !ebb_saver_save(k->saver, k->step);
	k->failed = !say_error(k) || k->failed;
}

/* Whether the run goes on.  number: the signal that was caught before the last save, or 0.  A
 * signal that is caught later is handled after the next step's save. */
static bool goes_on(keeping *k, int number)
{
	if (number == 0)
		return true;
	k->failed = !ebb_saver_wait(k->saver) || k->failed;
	say_error(k);
	k->ended = true;
	printf("%s%s: %s step %lld\n", cli_is_terminal(STDOUT_FILENO) ? "\r\033[K" : "",
		strsignal(number), k->failed ? "not saved at" : "saved at", (long long)k->step);
	return false;
}

bool keep_step(keeping *k)
{
	if (!k->saver)
		return true;
	int number = cli_caught_signal();
	k->step++;
	if (number || (k->every && k->step % k->every == 0))
		save(k);
	return goes_on(k, number);
}

bool keep_epoch(keeping *k, double score)
{
	if (!k->saver)
		return true;
	ebb_saver_save_best(k->saver, k->step, score);
	save(k);
	return goes_on(k, cli_caught_signal());
}

bool keep_close(keeping *k)
{
	bool ok = true;

	if (k->saver) {
		ok = ebb_saver_wait(k->saver) && !k->failed;
		say_error(k);
	}
	ebb_saver_free(k->saver);
	k->saver = NULL;
	return ok;
}

int keep_exit(const keeping *k, int status)
{
	if (k->ended)
		cli_end_by_signal();
	return status;
}
