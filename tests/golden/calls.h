/* calls.h - macros that define the call of an op for golden cases, and the tables of calls, one for
 * each family of ops. */
#ifndef EBB_TESTS_GOLDEN_CALLS_H
#define EBB_TESTS_GOLDEN_CALLS_H

#include <math.h>

#include "golden.h"

/* Each table ends with an entry without a name. */
extern const golden_op golden_first[], golden_elementwise[], golden_indexing[], golden_spatial[],
	golden_norms[];

/* The value for a member of an argument struct, where 0 means the default: EBB_ZERO for 0. */
static inline double or_zero(double value)
{
	return value == 0 ? EBB_ZERO : value;
}

#define CALL_OF_ONE(name)                                                                          \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)o, (void)n;                                                                  \
		return ebb_##name(t, in[0]);                                                       \
	}
#define CALL_OF_TWO(name)                                                                          \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)o, (void)n;                                                                  \
		return ebb_##name(t, in[0], in[1]);                                                \
	}
#define REDUCTION(name)                                                                            \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)n;                                                                           \
		return ebb_##name(t, in[0], .axes = golden_axes(o, "axis"),                        \
			.keepdim = golden_flag(o, "keepdim", false));                              \
	}
#define ALONG_AXIS(name)                                                                           \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)n;                                                                           \
		return ebb_##name(t, in[0], golden_axis(o, "axis"));                               \
	}
#define WITH_NUMBER(name, key, fallback)                                                           \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)n;                                                                           \
		return ebb_##name(t, in[0], golden_number(o, key, fallback));                      \
	}
#define INDEXED(name)                                                                              \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)n;                                                                           \
		return ebb_##name(t, in[0], golden_axis(o, "axis"), in[1]);                        \
	}
#define JOINED(name)                                                                               \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		return ebb_##name(t, n, in, golden_axis(o, "axis"));                               \
	}
#define LOSS(name)                                                                                 \
	static ebb_tensor *call_##name(ebb_tape *t, golden_options *o, int n, ebb_tensor **in)     \
	{                                                                                          \
		(void)n;                                                                           \
		return ebb_##name(t, in[0], in[1], .reduction = golden_reduction(o));              \
	}

#define OP(op, min, max) .name = #op, .call = call_##op, .min_inputs = min, .max_inputs = max

#endif
