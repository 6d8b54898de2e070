/* progress.c - shows the progress of an epoch on a terminal. */
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

progress progress_begin(void)
{
	return (progress){.terminal = cli_is_terminal(STDOUT_FILENO), .began = cli_now()};
}

void progress_show(progress *p, int epoch, int epochs, int64_t done, int64_t batches)
{
	enum { WIDTH = 28 };
	double now = cli_now(), seconds = now - p->began;
	char left[32], before[64], after[160];

	if (!p->terminal || (now - p->drawn < 0.1 && done < batches))
		return;
	p->drawn = now;
	cli_time(left, sizeof left, seconds / (double)done * (double)(batches - done));
	snprintf(before, sizeof before, "epoch %d/%d ", epoch + 1, epochs);
	snprintf(after, sizeof after, " loss %.4f  accuracy %.2f %%  %.0f images/s  %s left",
		ebb_average_value(&p->loss), 100 * ebb_average_value(&p->accuracy),
		(double)p->images / seconds, left);
	cli_bar(before, (double)done / (double)batches, WIDTH, after);
}

void progress_clear(const progress *p)
{
	if (p->terminal)
		fputs("\r\033[K", stdout);
}

void progress_report(int epoch, int epochs, double loss, double accuracy, double test_accuracy,
	double images_per_second)
{
	char line[200], test[60] = "";

	if (!isnan(test_accuracy))
		snprintf(test, sizeof test, "  test accuracy %.2f %%", 100 * test_accuracy);
	snprintf(line, sizeof line, "epoch %d/%d  loss %.4f  accuracy %.2f %%%s  %.0f images/s",
		epoch + 1, epochs, loss, 100 * accuracy, test, images_per_second);
	cli_wrap(0, line);
	fflush(stdout);
}
