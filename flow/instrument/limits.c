/* limits.c - the limits of the verdicts, with their sources, and the verdicts' names. */
#include "flow/instrument/internal.h"

/* LIMIT(member, default, meaning, source) */
#define LIMITS                                                                                     \
	LIMIT(vanishing, 1e-3,                                                                     \
		"vanishing: gradient norm of the first layers / last layers, below",               \
		"the effect: Bengio, Simard & Frasconi 1994, Glorot & Bengio 2010; the number: "   \
		"Ebb's")                                                                           \
	LIMIT(exploding, 1e3, "exploding: the same ratio, above",                                  \
		"the effect: Pascanu, Mikolov & Bengio 2013; the number: Ebb's.  If the "          \
		"activations "                                                                     \
		"do not grow, 1000 times this: batch norm with ReLU has 1.21 per layer at the "    \
		"start "                                                                           \
		"(Yang et al. 2019)")                                                              \
	LIMIT(dead, 0.5, "dead: share of a layer's units that are inactive, above",                \
		"Lu, Shin, Su & Karniadakis 2020; the number: Ebb's.  Deep ReLU nets have about "  \
		"half at the start: so also 2/sqrt(units) above half, 0.25 above the layers near " \
		"it, or 0.4 above the first sample; 0.9 while the loss is below half of the "      \
		"first")                                                                           \
	LIMIT(active, 0.01, "dead: a unit is inactive if the share of its active values is below", \
		"Maas, Hannun & Ng 2013 count units that are never active; the number: Ebb's")     \
	LIMIT(saturated, 0.5, "saturated: share of a layer's slopes that are small, above",        \
		"the effect: LeCun et al. 1998, Glorot & Bengio 2010; the number: Ebb's; 0.9 "     \
		"while the loss is below half of the first")                                       \
	LIMIT(slope, 0.05, "saturated: a slope is small below this part of the op's largest",      \
		"Ebb's: |x| > 2.2 for tanh, |x| > 4.4 for sigmoid")                                \
	LIMIT(outlier, 20, "exploding, vanishing, badly initialised: a layer's factor / median",   \
		"median absolute deviation: Hampel 1974; 6 of those of the logarithms, and the "   \
		"ratio: Ebb's")                                                                    \
	LIMIT(update, 1e-7, "not learning: |change of a weight| / |weight|, below",                \
		"IEEE 754: half a unit in the last place of a binary32 number is 6e-8 of it")

ebb_verdict_limits ebb_verdict_limits_of(const ebb_verdict_limits *given)
{
	ebb_verdict_limits l = given ? *given : (ebb_verdict_limits){0};

#define LIMIT(member, default_value, meaning, source)                                              \
	if (l.member == 0)                                                                         \
		l.member = default_value;
	LIMITS
#undef LIMIT
	return l;
}

const char *ebb_verdict_limits_text(void)
{
	static const char text[] =
#define LIMIT(member, default_value, meaning, source)                                              \
#member " " #default_value " (" meaning "); " source "\n"
		LIMITS
#undef LIMIT
		;
	return text;
}

const char *ebb_verdict_name(ebb_verdict_kind kind)
{
	switch (kind) {
	case EBB_VERDICT_HEALTHY:
		return "healthy";
	case EBB_VERDICT_VANISHING:
		return "vanishing";
	case EBB_VERDICT_EXPLODING:
		return "exploding";
	case EBB_VERDICT_DEAD:
		return "dead units";
	case EBB_VERDICT_SATURATED:
		return "saturated";
	case EBB_VERDICT_NOT_FINITE:
		return "not finite";
	case EBB_VERDICT_FROZEN:
		return "frozen";
	case EBB_VERDICT_NOT_LEARNING:
		return "not learning";
	case EBB_VERDICT_BADLY_INITIALISED:
		return "badly initialised";
	}
	return "unknown";
}
