/*
 * internal.h - the struct of the parameter store, and the steps of a container, for nn/, optim/ and
 * training/ only.
 */
#ifndef EBB_NN_INTERNAL_H
#define EBB_NN_INTERNAL_H

#include "tensor/option.h"
#include "nn/nn.h"
#include "nn/weights.h"

/* A tensor under its full name. */
typedef struct ebb_entry {
	const char *name;
	ebb_tensor *tensor;
} ebb_entry;

typedef struct ebb_entries {
	ebb_entry *at;
	int64_t count, capacity;
} ebb_entries;

/* An object that is freed with the store. */
typedef struct ebb_owned {
	void *object;
	void (*destroy)(void *object);
} ebb_owned;

struct ebb_params {
	ebb_params *root;   /* the store: of a view the store that it shows, else p itself */
	const char *prefix; /* "" or "layer1.0." */
	size_t prefix_length;
	/* The following members are used in the store only, not in views. */
	uint64_t seed;
	ebb_dtype dtype;
	ebb_error error;
	ebb_entries params, buffers;
	ebb_params **views;
	int64_t view_count, view_capacity;
	char **names;
	int64_t name_count, name_capacity;
	ebb_owned *owned;
	int64_t owned_count, owned_capacity;
};

/* The store of p, or NULL if p is NULL or the store has failed. */
ebb_params *ebb_params_healthy(ebb_params *p);
/* As ebb_params_full_name; an error message begins with site and who ("conv_new"). */
const char *ebb_params_name_of(ebb_params *p, const char *who, const char *name, const char *site);
/* Frees object with the store, by destroy.  False (an error in the store; the caller keeps object)
 * without memory. */
bool ebb_params_own(ebb_params *p, void *object, void (*destroy)(void *object));

/* Writes to buffer the name that the first matching rule makes of name, or name itself if none
 * matches (rename.c).  False if the rule ignores the entry.  A result that is too long for buffer
 * becomes "", which is no tensor's name. */
bool ebb_rename_apply(const ebb_rename *rule, const char *name, char *buffer, size_t size);
bool ebb_rename_matches(const ebb_rename *rule, const char *name); /* this rule alone */
/* Checks that no rule has more * in to than in from. */
bool ebb_rename_check(const ebb_rename *rule, ebb_error *e, const char *site);

/* Where a function of the store p writes its error: to own, the caller's .error, or without one to
 * the store. */
static inline ebb_error *ebb_params_error_to(ebb_params *p, ebb_error *own)
{
	return own || !p ? own : &p->root->error;
}

/* As ebb_params_put, with floats of that type in the file (weights.c). */
bool ebb_params_put_as(const ebb_params *p, ebb_archive *a, ebb_file_dtype dtype, ebb_error *e);
/* Whether one of the globs, which are separated by spaces, matches name (params.c). */
bool ebb_globs_match(const char *globs, const char *name);

/* The names of parameter and buffer number index without p's prefix; index must be in range. */
static inline const char *ebb_params_name_below(const ebb_params *p, int64_t index)
{
	return ebb_params_name_at(p, index) + p->prefix_length;
}

static inline const char *ebb_buffers_name_below(const ebb_params *p, int64_t index)
{
	return ebb_buffers_name_at(p, index) + p->prefix_length;
}

/* ---- Steps of a container (sequential.c, fuse.c) --------------------------------------------- */

typedef enum ebb_step_kind {
	EBB_STEP_CONV,
	EBB_STEP_LINEAR,
	EBB_STEP_BN,
	EBB_STEP_DROP,
	EBB_STEP_MAXPOOL,
	EBB_STEP_AVGPOOL,
	EBB_STEP_ADAPTIVE,
	EBB_STEP_FN,
	EBB_STEP_LAYER,
	EBB_STEP_BN_RELU,     /* as.bn, then relu */
	EBB_STEP_RELU_MAXPOOL /* relu, then as.pool */
} ebb_step_kind;

typedef struct ebb_step {
	ebb_step_kind kind;
	const char *name;    /* the full name; of a fused step that of its layer */
	const char *added;   /* the line that added it */
	const char *part[2]; /* of a fused step the names of both steps, in order */
	const char *part_added[2];
	union {
		ebb_conv conv;
		ebb_linear linear;
		ebb_bn bn;
		ebb_drop drop;
		ebb_pool2d_args pool;
		ebb_adaptive_args adaptive;
		ebb_unary_op fn;
		struct {
			ebb_layer_fn fn;
			void *ctx;
		} layer;
	} as;
} ebb_step;

/* Writes to fused at most n steps that compute the same as step[0..n-1], bit-identical; returns how
 * many. */
int ebb_fuse(int n, const ebb_step *step, ebb_step *fused);

#endif
