/*
 * fuse.c - which steps of a chain run as one op.
 *
 * A rule fuses two adjacent steps into one with bit-identical results, gradients and side effects.
 * The rules alone decide what is fused: the mode of the tape and its observers have no influence.
 * An observer sees the parts of a fused op as the results of both steps' scopes.
 */
#include "nn/internal.h"

typedef struct rule {
	bool (*first)(const ebb_step *s), (*second)(const ebb_step *s);
	ebb_step_kind fused;
	int layer; /* the step (0 or 1) whose name and arguments the fused step takes */
} rule;

static bool is_bn(const ebb_step *s)
{
	return s->kind == EBB_STEP_BN;
}

static bool is_relu(const ebb_step *s)
{
	return s->kind == EBB_STEP_FN && s->as.fn == ebb_relu;
}

/* With .index, the steps cannot be fused: the positions of the maxima of relu(x) differ from those
 * of x where the maximum is not positive. */
static bool is_maxpool_without_index(const ebb_step *s)
{
	return s->kind == EBB_STEP_MAXPOOL && !s->as.pool.index;
}

/* ebb_batchnorm_relu computes both steps of the first rule.  For the second, max(relu(x)) =
 * relu(max(x)) with the same gradient: 0 where the maximum is not positive. */
static const rule rules[] = {
	{is_bn, is_relu, EBB_STEP_BN_RELU, 0},
	{is_relu, is_maxpool_without_index, EBB_STEP_RELU_MAXPOOL, 1},
};

static const rule *rule_for(const ebb_step *first, const ebb_step *second)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (rules[i].first(first) && rules[i].second(second))
			return &rules[i];
	return NULL;
}

int ebb_fuse(int n, const ebb_step *step, ebb_step *fused)
{
	int count = 0;

	for (int i = 0; i < n; i++) {
		const rule *r = i + 1 < n ? rule_for(&step[i], &step[i + 1]) : NULL;

		fused[count] = step[r ? i + r->layer : i];
		if (r) {
			fused[count].kind = r->fused;
			for (int k = 0; k < 2; k++) {
				fused[count].part[k] = step[i + k].name;
				fused[count].part_added[k] = step[i + k].added;
			}
			i++;
		}
		count++;
	}
	return count;
}
