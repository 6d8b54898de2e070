/*
 * every_op.c - the tests of every op, by the entries of all tables.
 *
 * The following is tested for every entry and sample, in both real types and in every memory order
 * of every input and of the incoming gradient.  The value equals the reference.  The gradient and
 * the derivative of the gradient equal those of row-major inputs in double precision, which
 * ebb_gradcheck compares with differences.  The gradient that is computed with create_graph equals
 * the gradient without.  A tape that does not record computes the same bits.
 */
#include "tests/ops/ops_test.h"

static const char *const OPS[] = {
#define OP(name) #name,
#include "op_names.h"
#undef OP
};
enum { OP_COUNT = sizeof OPS / sizeof *OPS };

static const entry *const TABLES[] = {EVERY_TABLE};
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

static const entry *find(const char *name, int *times)
{
	const entry *found = NULL;

	*times = 0;
	for (int k = 0; k < TABLE_COUNT; k++) {
		for (const entry *e = TABLES[k]; e->name; e++) {
			if (!strcmp(e->name, name)) {
				found = e;
				++*times;
			}
		}
	}
	return found;
}

/* ---- Every op has an entry, and every entry its parts ------------------------------- */

static const char *const PART_NAMES[] = {"a reference", "gradients", "an empty sample",
	"a sample with an axis of size 1", "a sample that broadcasts",
	"a sample with several memory orders", "an input that is refused"};

static bool has_part(const entry *e, part p)
{
	const char *at = e->samples;
	sample s;

	if (p == REFERENCE)
		return e->unary || e->binary || e->reference;
	if (p == REFUSED)
		return e->refused != NULL;
	if (p == GRADIENT)
		return at != NULL && e->result == EBB_DEFAULT;
	while (next_sample(&at, e->values, &s)) {
		const array *first = NULL;

		for (int k = 0; k < s.n; k++) {
			const array *a = &s.in[k];
			int longer = 0;

			for (int d = 0; d < a->shape.ndim; d++) {
				if (p == EMPTY && a->shape.dims[d] == 0)
					return true;
				if (p == ONE && a->shape.dims[d] == 1)
					return true;
				longer += a->shape.dims[d] > 1;
			}
			if (p == LAYOUTS && longer >= 2)
				return true;
			if (a->dtype != EBB_F64)
				continue;
			if (p == BROADCAST && first &&
				memcmp(&first->shape, &a->shape, sizeof a->shape))
				return true;
			first = first ? first : a;
		}
	}
	return false;
}

/* Returns text that says which part (ops_test.h) the entry lacks without a reason in .waived, or
 * NULL.  A reason in .waived for a part that the entry has is an error, too. */
static const char *lacks(const entry *e, char *text, size_t size)
{
	if (!e->property && (!e->call || !e->samples)) {
		snprintf(text, size, "%s has neither a call with samples nor a property", e->name);
		return text;
	}
	for (int p = 0; p < PARTS; p++) {
		bool has = has_part(e, (part)p), waived = e->waived[p] != NULL;

		if (has == waived && p != GRADIENT) {
			snprintf(text, size,
				has ? "%s has %s, but .waived has a reason to leave it out"
				    : "%s lacks %s, and .waived has no reason",
				e->name, PART_NAMES[p]);
			return text;
		}
		if (p == GRADIENT && !has && !waived) {
			snprintf(text, size, "%s has no gradients, and .waived has no reason",
				e->name);
			return text;
		}
	}
	return NULL;
}

START_TEST(every_op_of_the_headers_has_one_complete_entry)
{
	char text[200];

	ck_assert_int_gt(OP_COUNT, 50);
	for (int i = 0; i < OP_COUNT; i++) {
		int times;
		const entry *e = find(OPS[i], &times);

		ck_assert_msg(e,
			"the headers of ops/ declare ebb_%s; the tests have no entry for it",
			OPS[i]);
		ck_assert_msg(times == 1, "%s has %d entries", OPS[i], times);
		ck_assert_msg(!lacks(e, text, sizeof text), "%s", text);
	}
	for (const property *p = unary_properties; p->op; p++) {
		int times;

		ck_assert_msg(find(p->op, &times),
			"unary_properties has a test of %s, which has no entry", p->op);
	}
	for (int k = 0; k < TABLE_COUNT; k++) {
		for (const entry *e = TABLES[k]; e->name; e++) {
			bool known = false;

			for (int i = 0; i < OP_COUNT; i++)
				known |= !strcmp(OPS[i], e->name);
			ck_assert_msg(known,
				"there is an entry for %s; the headers of ops/ have no such op",
				e->name);
		}
	}
	arrays_free();
}
END_TEST

START_TEST(an_entry_that_lacks_a_part_is_reported)
{
	char text[200];
	int times;
	const entry whole = *find("mul", &times);
	entry e = whole;

	ck_assert_ptr_null(lacks(&e, text, sizeof text));
	e.binary = NULL;
	ck_assert_str_eq(
		lacks(&e, text, sizeof text), "mul lacks a reference, and .waived has no reason");
	e.waived[REFERENCE] = "none";
	ck_assert_ptr_null(lacks(&e, text, sizeof text));
	e = whole;
	e.samples = "2x3 2x3 | 1x3 3 | 2x3 3";
	ck_assert_str_eq(lacks(&e, text, sizeof text),
		"mul lacks an empty sample, and .waived has no reason");
	e.samples = "0x2 2 | 2x3 3";
	ck_assert_ptr_nonnull(lacks(&e, text, sizeof text));
	e.samples = "0x2 0x2 | 1x3 1x3 | 2x3 2x3";
	ck_assert_ptr_nonnull(lacks(&e, text, sizeof text));
	e.samples = "0 0 | 1 1 | 3 1";
	ck_assert_ptr_nonnull(lacks(&e, text, sizeof text));
	e = whole;
	e.waived[EMPTY] = "no longer true";
	ck_assert_str_eq(lacks(&e, text, sizeof text),
		"mul has an empty sample, but .waived has a reason to leave it out");
	e = whole;
	e.refused = NULL;
	ck_assert_ptr_nonnull(lacks(&e, text, sizeof text));
	ck_assert_ptr_null(find("no_such_op", &times));
	arrays_free();
}
END_TEST

/* ---- Gradients against differences -------------------------------------------------- */

typedef struct check {
	const entry *e;
	const sample *s;
	bool twice; /* the op is applied twice, and the results multiplied */
	int same;   /* this input is also passed as input number .as (-1: none) */
	int as;
} check;

static ebb_tensor *checked(ebb_tape *t, ebb_tensor **x, void *ctx)
{
	const check *c = ctx;
	const sample *s = c->s;
	ebb_tensor *in[MAX_IN], *again[MAX_IN], *y;
	int k = 0;

	for (int i = 0; i < s->n; i++)
		in[i] = s->in[i].dtype == EBB_DEFAULT ? NULL : x[k++];
	if (c->same >= 0)
		in[c->as] = in[c->same];
	memcpy(again, in, sizeof again);
	y = c->e->call(t, in, s->n, s->variant);
	return c->twice ? ebb_mul(t, y, c->e->call(t, again, s->n, s->variant)) : y;
}

static void grad_check(const trial *r, bool twice, int same, int as)
{
	const entry *e = r->e;
	const sample *s = &r->s;
	check c = {e, s, twice, same, as};
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *persistent[MAX_IN];
	ebb_error error = {0};
	int n = 0;
	bool little = r->y.count == 0, ok;

	ebb_set_default_dtype(t, EBB_F64);
	for (int k = 0; k < s->n; k++) {
		if (s->in[k].dtype == EBB_DEFAULT)
			continue;
		place(t, &s->in[k], PERSISTENT, &persistent[n++]);
		little |= s->in[k].count <= 1;
	}
	ok = ebb_gradcheck(checked, &c, n, (const ebb_tensor *const *)persistent, .second = true,
		.eval = s->eval, .allow_zero = little || s->flat || same >= 0, .seed = 3,
		.error = &error);
	ck_assert_msg(ok, "%s (%s)%s%s: %s", e->name, s->text, twice ? ", applied twice" : "",
		same >= 0 ? ", one input used twice" : "", error.message);
	ebb_tape_free(t);
	for (int k = 0; k < n; k++)
		ebb_tensor_free(persistent[k]);
}

static void grad_checks(const trial *r)
{
	const sample *s = &r->s;

	/* If the value is NaN (a mean over no elements), central differences are NaN, too. */
	for (int64_t i = 0; i < r->y.count; i++) {
		if (!isfinite(r->y.v[i]))
			return;
	}
	grad_check(r, false, -1, -1);
	if (!s->flat)
		grad_check(r, true, -1, -1);
	for (int i = 0; i < s->n; i++) {
		for (int k = i + 1; k < s->n; k++) {
			if (s->in[i].dtype == EBB_F64 && s->in[k].dtype == EBB_F64 &&
				!memcmp(&s->in[i].shape, &s->in[k].shape, sizeof(ebb_shape)))
				grad_check(r, false, i, k);
		}
	}
}

/* ---- Refusals ----------------------------------------------------------------------- */

static bool names_a_shape(const sample *s, const char *message)
{
	for (int k = 0; k < s->n; k++) {
		char shape[100] = "[";
		size_t used = 1;

		for (int d = 0; d < s->in[k].shape.ndim; d++)
			used += (size_t)snprintf(shape + used, sizeof shape - used,
				d ? ",%lld" : "%lld", (long long)s->in[k].shape.dims[d]);
		snprintf(shape + used, sizeof shape - used, "]");
		if (strstr(message, shape))
			return true;
	}
	return false;
}

/* The message is "...tests/ops/FILE.c:LINE: NAME: ...[shape]... in outer.inner".  If the status is
 * EBB_INVALID, the message has the invalid number in place of the shape. */
static void check_refusal(const entry *e, const sample *s, ebb_status status, const char *message)
{
	/* The call site of an op of unary.def or binary.def is the line of its row. */
	const char *listed = strstr(message, "kernels/"),
		   *site = listed ? listed : strstr(message, "tests/ops/"),
		   *colon = site ? strchr(site, ':') : NULL, *in;
	char name[60], *end;

	ck_assert_msg(colon && strtol(colon + 1, &end, 10) > 0,
		"%s (%s): no line of the caller in: %s", e->name, s->text, message);
	snprintf(name, sizeof name, ": %s: ", e->name);
	ck_assert_msg(!strncmp(end, name, strlen(name)),
		"%s (%s): the op's name should follow the line in: %s", e->name, s->text, message);
	if (status == EBB_INVALID)
		ck_assert_msg(strpbrk(end + strlen(name), "0123456789"),
			"%s (%s): the invalid number is not in: %s", e->name, s->text, message);
	else
		ck_assert_msg(names_a_shape(s, end), "%s (%s): no shape of an input is in: %s",
			e->name, s->text, message);
	in = strstr(end, " in outer.inner");
	ck_assert_msg(in && !in[15], "%s (%s): no scope in: %s", e->name, s->text, message);
}

static void refuse(const entry *e, const sample *s)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x[MAX_IN], *persistent;
	ebb_status status;

	ebb_set_default_dtype(t, EBB_F64);
	for (int k = 0; k < s->n; k++) {
		x[k] = place(t, &s->in[k], ROWS, &persistent);
		if (x[k] && e->result != EBB_DEFAULT)
			x[k] = ebb_detach(t, x[k]);
	}
	ebb_scope_begin(t, "outer");
	ebb_scope_begin(t, "inner");
	ck_assert_msg(!e->call(t, x, s->n, s->variant), "%s (%s) was accepted", e->name, s->text);
	ck_assert_msg(ebb_failed(t), "%s (%s) left no error", e->name, s->text);
	status = ebb_error_status(t);
	ck_assert_msg(status == EBB_INVALID || status == EBB_BAD_SHAPE || status == EBB_BAD_DTYPE,
		"%s (%s): status %d: %s", e->name, s->text, (int)status, ebb_error_message(t));
	check_refusal(e, s, status, ebb_error_message(t));
	/* Every later op returns NULL, and the first error is kept. */
	ck_assert_ptr_null(ebb_relu(t, x[0]));
	check_refusal(e, s, status, ebb_error_message(t));
	ebb_tape_free(t);
}

/* ---- The tests ---------------------------------------------------------------------- */

START_TEST(values_gradients_and_errors_of_the_op)
{
	int times;
	const entry *e = find(OPS[_i], &times);
	const char *at = e ? e->samples : NULL;
	trial r = {.e = e};
	sample bad;

	ck_assert_msg(e, "no entry for %s", OPS[_i]);
	while (e->call && next_sample(&at, e->values, &r.s)) {
		prepare(&r);
		try_settings(&r, EBB_F64);
		try_settings(&r, EBB_F32);
		if (e->result != EBB_DEFAULT)
			try_variables(&r);
		if (!e->waived[GRADIENT])
			try_constants(&r);
		if (!e->waived[GRADIENT])
			grad_checks(&r);
		if (!e->waived[GRADIENT])
			check_identity(&r);
		arrays_free();
	}
	at = e->refused;
	while (next_sample(&at, e->values, &bad))
		refuse(e, &bad);
	if (e->property)
		e->property();
	for (const property *p = unary_properties; p->op; p++) {
		if (!strcmp(p->op, e->name))
			p->check();
	}
	arrays_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ops");
	TCase *c = tcase_create("list");

	tcase_add_test(c, every_op_of_the_headers_has_one_complete_entry);
	tcase_add_test(c, an_entry_that_lacks_a_part_is_reported);
	suite_add_tcase(s, c);
	for (int i = 0; i < OP_COUNT; i++) {
		c = tcase_create(OPS[i]);
		tcase_add_loop_test(c, values_gradients_and_errors_of_the_op, i, i + 1);
		tcase_set_timeout(c, 120);
		suite_add_tcase(s, c);
	}
	return run_suite(s);
}
