/* keep.h - checkpoints for the demos that train, and saving before a signal ends a run. */
#ifndef EBB_DEMOS_KEEP_H
#define EBB_DEMOS_KEEP_H

#include <ebb.h>
#include <getopt.h>

enum { MOST_SETTINGS = 8 };

typedef struct keeping {
	/* From the command line. */
	const char *path;
	bool resume;
	int last;
	int64_t every; /* steps */
	/* State of the run. */
	ebb_saver *saver; /* NULL without --checkpoint */
	int64_t step;     /* steps done */
	bool ended;       /* a signal has ended the run, after it was saved */
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
	"  --checkpoint FILE  saves the run to FILE; SIGTERM and SIGINT then save and end it\n"    \
	"  --resume       continues from FILE if it exists, with the results of an unstopped "     \
	"run\n"                                                                                    \
	"  --keep N       keeps the last N checkpoints, named by step (default: one, FILE)\n"
/* If o is one of these options, sets it and returns true. */
bool keep_option(keeping *k, int o, const char *argument);
/* Call it after all options; exits with status 2 if one is given without --checkpoint. */
void keep_check(const keeping *k);

/* Creates the saver and adds the model, the optimizer, the tape and the loader to it; t and loader
 * may be NULL.  The caller adds all other state.
 * From here on signals are caught.  Without --checkpoint this function and those below do nothing.
 * False with a message on stderr. */
bool keep_open(keeping *k, ebb_params *p, ebb_optim *opt, ebb_tape *t, ebb_loader *loader);
/* Adds an option that the run depends on ("--lr"): it is saved, and a resumed run must have the
 * same value. */
void keep_setting(keeping *k, const char *option, double value);
/* With --resume: loads the newest checkpoint, if there is one.  Without: fails if there is one. */
bool keep_begin(keeping *k);
/* Call them after each step and at the end of an epoch (NAN: no score).  False if the run ends
 * here. */
bool keep_step(keeping *k);
bool keep_epoch(keeping *k, double score);
/* Waits until everything is saved.  False if the last checkpoint could not be written. */
bool keep_close(keeping *k);
/* Call it last in main: returns status, unless a signal has ended the run; then the process ends by
 * that signal. */
int keep_exit(const keeping *k, int status);

#endif
