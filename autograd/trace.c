/*
 * trace.c - the tensors that both runs of a checkpoint read: those older than the run.  During the
 * first run, ebb_begin lists each of them once.
 */
#include "autograd/internal.h"

void ebb_trace_input(ebb_tape *t, ebb_tensor *x)
{
	int64_t start = t->trace->start;

	if (x->persistent)
		x = (ebb_tensor *)x->persistent;
	else if (ebb_arena_is_after(t->ctx.handles, t->trace->mark, x))
		return;
	for (int64_t i = start; i < t->ntraced; i++)
		if (t->traced[i] == x)
			return;
	if (!ebb_grow(&t->traced, &t->traced_capacity, t->ntraced + 1, sizeof *t->traced))
		ebb_no_memory(t, NULL, "a checkpoint's list of inputs", sizeof *t->traced);
	else
		t->traced[t->ntraced++] = x;
}

bool ebb_is_replaying(const ebb_tape *t)
{
	return t && t->replays > 0;
}

bool ebb_is_given(const ebb_tape *t, const ebb_tensor *x)
{
	if (t->trace && !ebb_arena_is_after(t->ctx.handles, t->trace->mark, x))
		return true;
	return t->replays > 0 && !ebb_arena_is_after(t->ctx.handles, t->replay_mark, x);
}
