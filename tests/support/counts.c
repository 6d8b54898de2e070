/* counts.c - checks a tape's reference counts before each reset and each free. */
#include "autograd/internal.h"
#include "tests/support/support.h"

#undef ebb_tape_reset
#undef ebb_tape_free

void check_tape_counts(const ebb_tape *t)
{
	ebb_error e = {0};

	if (!t)
		return;
	ck_assert_msg(ebb_tape_check(t, &e), "%s", e.message);
}

void reset_checked(ebb_tape *t)
{
	check_tape_counts(t);
	ebb_tape_reset(t);
}

void free_checked(ebb_tape *t)
{
	check_tape_counts(t);
	ebb_tape_free(t);
}
