/* progress.c - an epoch under way, on a terminal. */
#include "progress.h"

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
	char left[32];

	if (!p->terminal || (now - p->drawn < 0.1 && done < batches))
		return;
	p->drawn = now;
	cli_time(left, sizeof left, seconds / (double)done * (double)(batches - done));
	printf("\r\033[Kepoch %d/%d ", epoch + 1, epochs);
	for (int i = 0; i < WIDTH; i++)
		fputs(i < (int)(WIDTH * done / batches) ? "█" : "░", stdout);
	printf(" loss %.4f  accuracy %.2f %%  %.0f images/s  %s left", ebb_average_value(&p->loss),
		100 * ebb_average_value(&p->accuracy), (double)p->images / seconds, left);
	fflush(stdout);
}

void progress_clear(const progress *p)
{
	if (p->terminal)
		fputs("\r\033[K", stdout);
}
