/*
 * rules.c - rules: other vjps for ops of the tape's user, chosen by the op's name.
 *
 * A node refers to its op for as long as it is recorded, so that a replaced op is a copy that
 * belongs to the tape until ebb_tape_free.  A pair of op and rule has one copy.
 */
#include "autograd/internal.h"

#include <string.h>

struct ebb_ruled {
	struct ebb_ruled *next;
	const ebb_op *original;
	const ebb_rule rule;
	ebb_op op;
};

ebb_rules ebb_set_rules(ebb_tape *t, ebb_rules rules)
{
	ebb_rules former = {0};

	if (!t)
		return former;
	former = t->rules;
	if (rules.n < 0) {
		ebb_fail(t, EBB_INVALID, NULL, "set_rules: n is %d, expected at least 0", rules.n);
		return former;
	}
	for (int i = 0; i < rules.n; i++)
		if (!rules.rule || !rules.rule[i].op || !rules.rule[i].vjp) {
			ebb_fail(t, EBB_INVALID, NULL,
				"set_rules: rule %d of %d has no op or no vjp", i, rules.n);
			return former;
		}
	t->rules = rules;
	return former;
}

bool ebb_is_unfused(const ebb_tape *t)
{
	return t && (t->rules.n > 0 || t->rules.unfused) && !t->frame;
}

static bool is_same_rule(const ebb_rule *a, const ebb_rule *b)
{
	return a->vjp == b->vjp && memcmp(a->reads, b->reads, sizeof a->reads) == 0;
}

/* Adds a copy of op with the rule's vjp to the tape.  NULL without memory. */
static const ebb_op *replaced(ebb_tape *t, const ebb_op *op, const ebb_rule *rule)
{
	struct ebb_ruled *r = ebb_alloc(sizeof *r), made = {t->ruled, op, *rule, *op};

	if (!r)
		return NULL;
	made.op.vjp = rule->vjp;
	made.op.gy_strided = false;
	for (int k = 0; k < EBB_MAX_READS; k++) {
		made.op.reads[k] = rule->reads[k];
		/* .recompute reads what the op itself declares. */
		if (op->recompute)
			made.op.reads[k] |= op->reads[k];
	}
	memcpy(r, &made, sizeof made);
	t->ruled = r;
	return &r->op;
}

const ebb_op *ebb_op_by_rules(ebb_tape *t, const ebb_op *op, const char *site)
{
	const ebb_op *found = NULL;

	for (int i = 0; i < t->rules.n; i++) {
		const ebb_rule *rule = &t->rules.rule[i];

		if (strcmp(rule->op, op->name))
			continue;
		for (const struct ebb_ruled *r = t->ruled; r && !found; r = r->next)
			if (r->original == op && is_same_rule(&r->rule, rule))
				found = &r->op;
		if (!found)
			found = replaced(t, op, rule);
		if (!found)
			ebb_no_memory(t, site, "an op with another rule", sizeof(struct ebb_ruled));
		return found;
	}
	return op;
}

void ebb_forget_rules(ebb_tape *t)
{
	while (t->ruled) {
		struct ebb_ruled *next = t->ruled->next;

		ebb_free(t->ruled, sizeof *t->ruled);
		t->ruled = next;
	}
}
