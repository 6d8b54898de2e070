/*
 * networks.h - what several tests check of a network: names and shapes, and failed allocations.
 */
#ifndef EBB_TESTS_NETWORKS_H
#define EBB_TESTS_NETWORKS_H

#include "tests/support/support.h"

#include <stdio.h>

/* ---- Names and shapes ------------------------------------------------------------------------ */

/* The hash is FNV-1a over "name[sizes]\n" in order; 0 if there is no reference. */
typedef struct expected_model {
	const char *name;
	int64_t parameters, elements, buffers;
	uint64_t parameters_hash, buffers_hash;
} expected_model;

static inline uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

static inline uint64_t hash_entry(uint64_t h, const char *name, const ebb_tensor *x)
{
	char text[100];

	h = hash_text(h, name);
	h = hash_text(h, "[");
	for (int i = 0; i < ebb_ndim(x); i++) {
		snprintf(text, sizeof text, "%s%lld", i ? "," : "", (long long)ebb_size(x, i));
		h = hash_text(h, text);
	}
	return hash_text(h, "]\n");
}

static inline void check_names(const expected_model *want, const ebb_params *p)
{
	uint64_t parameters = 14695981039346656037u, buffers = parameters;

	ck_assert_msg(ebb_params_count(p) == want->parameters, "%s has %lld parameters", want->name,
		(long long)ebb_params_count(p));
	ck_assert_msg(ebb_params_elements(p) == want->elements, "%s has %lld numbers", want->name,
		(long long)ebb_params_elements(p));
	ck_assert_msg(ebb_buffers_count(p) == want->buffers, "%s has %lld buffers", want->name,
		(long long)ebb_buffers_count(p));
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		parameters = hash_entry(parameters, ebb_params_name_at(p, i), ebb_params_at(p, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		buffers = hash_entry(buffers, ebb_buffers_name_at(p, i), ebb_buffers_at(p, i));
	if (!want->parameters_hash)
		return;
	ck_assert_msg(parameters == want->parameters_hash,
		"%s: its parameters have other names, shapes or another order", want->name);
	ck_assert_msg(buffers == want->buffers_hash,
		"%s: its buffers have other names, shapes or another order", want->name);
}

/* ---- Failed allocations ---------------------------------------------------------------------- */

/* Makes a network in p at net, and runs it on a tape. */
typedef struct network_calls {
	void (*make)(ebb_params *p, void *net);
	ebb_tensor *(*forward)(ebb_tape *t, const void *net);
} network_calls;

/* Whichever allocation of make fails, of those whose number is a multiple of step, the store has an
 * error, the network's forward function fails, and nothing leaks.  make needs more than least
 * allocations. */
static inline void check_failed_allocations(
	const network_calls *network, void *net, int64_t step, int64_t least)
{
	counting_allocator a;
	bool made = false;

	counting_allocator_install(&a);
	for (int64_t fail_at = 0; !made; fail_at += step) {
		ebb_params *p;
		ebb_tape *t;

		a.calls = 0;
		a.fail_at = fail_at;
		p = ebb_params_new(1);
		network->make(p, net);
		a.fail_at = -1;
		made = p && !ebb_params_error(p);
		t = ebb_tape_new();
		ck_assert_int_eq(made, network->forward(t, net) != NULL);
		ebb_tape_free(t);
		ebb_params_free(p);
		ck_assert_int_eq(a.live, 0);
		ck_assert_int_eq(a.wrong, 0);
	}
	ck_assert_int_gt(a.calls, least);
	counting_allocator_remove();
}

#endif
