/*
 * internal.h - the parameter store's struct, and the steps of a chain, for nn/, optim/ and
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

/* Something that is freed with the store. */
typedef struct ebb_owned {
	void *object;
	void (*destroy)(void *object);
} ebb_owned;

struct ebb_params {
	ebb_params *root;   /* itself for the store, else the store behind the view */
	const char *prefix; /* "" or "layer1.0." */
	size_t prefix_length;
	/* Of the store alone. */
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

/* The store, or NULL if it is NULL or has failed: then nothing more is made. */
ebb_params *ebb_params_healthy(ebb_params *p);
/* ebb_params_full_name for who ("conv_new") was called at site. */
const char *ebb_params_name_of(ebb_params *p, const char *who, const char *name, const char *site);
/* object is freed with the store.  False (an error in the store; object is not taken) without
 * memory. */
bool ebb_params_own(ebb_params *p, void *object, void (*destroy)(void *object));

/* The name that the first rule which matches makes of name, into buffer (rename.c).  False where
 * that rule leaves the entry out.  One that the buffer is too small for becomes "", which no
 * tensor is called. */
bool ebb_rename_apply(const ebb_rename *rule, const char *name, char *buffer, size_t size);
bool ebb_rename_matches(const ebb_rename *rule, const char *name); /* this rule alone */
/* Whether each rule has as many * to give as it takes. */
bool ebb_rename_check(const ebb_rename *rule, ebb_error *e, const char *site);

/* The names of parameter and buffer number index, which there are, below p's prefix. */
static inline const char *ebb_params_name_below(const ebb_params *p, int64_t index)
{
	return ebb_params_name_at(p, index) + p->prefix_length;
}

static inline const char *ebb_buffers_name_below(const ebb_params *p, int64_t index)
{
	return ebb_buffers_name_at(p, index) + p->prefix_length;
}

/* ---- Steps of a chain (sequential.c, fuse.c) ------------------------------------------------- */

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
	EBB_STEP_BN_RELU,     /* as.bn, then the rectifier */
	EBB_STEP_RELU_MAXPOOL /* the rectifier, then as.pool */
} ebb_step_kind;

typedef struct ebb_step {
	ebb_step_kind kind;
	const char *name;    /* the full one; of a fused step that of the layer in it */
	const char *part[2]; /* of a fused step the names of both, in order */
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

/* The n steps as at most as many that compute the same, to the bit; returns how many. */
int ebb_fuse(int n, const ebb_step *step, ebb_step *fused);

#endif
