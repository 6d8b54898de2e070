/* keep.h - checkpoints of the demos that train, and signals that end a run. */
#ifndef EBB_DEMOS_KEEP_H
#define EBB_DEMOS_KEEP_H

#include <ebb.h>
#include <getopt.h>

enum { MOST_SETTINGS = 8 };

typedef struct keeping {
	/* The command line's. */
	const char *path;
	bool resume;
	int last;
	int64_t every; /* steps */
	/* The run's. */
	ebb_saver *saver; /* NULL without --checkpoint */
	int64_t step;     /* steps done */
	bool ended;       /* a signal has ended the run: all of it is saved */
	bool failed;      /* the last save did not succeed */
	struct {
		const char *option;
		double given, saved;
	} setting[MOST_SETTINGS];
	int settings;
} keeping;

#define KEEP_OPTIONS                                                                               \
	{"checkpoint", required_argument, NULL, 'C'}, {"resume", no_argument, NULL, 'R'},          \
		{"keep", required_argument, NULL, 'K'},                                            \
	{                                                                                          \
		"every", required_argument, NULL, 'E'                                              \
	}
#define KEEP_HELP                                                                                  \
	"  --checkpoint FILE  saves the run there; SIGTERM and SIGINT then save and end it\n"      \
	"  --resume       goes on from FILE, if it is there, as if nothing had been between\n"     \
	"  --keep N       the last N checkpoints, named by their steps (default: one, FILE)\n"
/* Whether o is one of these options; takes it. */
bool keep_option(keeping *k, int o, const char *argument);
/* After all options; exits with status 2 if one is given without --checkpoint. */
void keep_check(const keeping *k);

/* Makes the saver and adds the model and the optimizer; the caller adds what else there is. 
 * From here on signals are waited for.  Without --checkpoint nothing happens, here and below. 
 * False with a message on stderr. */
bool keep_open(keeping *k, ebb_params *p, ebb_optim *opt);
/* An option that the run depends on ("--lr"): it is saved, and must be the same when the run is
 * resumed. */
void keep_setting(keeping *k, const char *option, double value);
/* With --resume: the newest checkpoint, if there is one.  Without: there must be none. */
bool keep_begin(keeping *k);
/* After each step, and at the end of an epoch (NAN: no score).  False if the run ends here. */
bool keep_step(keeping *k);
bool keep_epoch(keeping *k, double score);
/* Waits until all is saved.  False if the last checkpoint could not be written. */
bool keep_close(keeping *k);
/* Last in main: the status, unless a signal has ended the run; then the process ends by it. */
int keep_exit(const keeping *k, int status);

#endif
