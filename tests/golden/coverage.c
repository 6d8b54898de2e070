/* coverage.c - which ops of ops.h have golden vectors, and why some have none. */
#include "golden.h"

#include <dirent.h>
#include <string.h>

static const char *const OPS[] = {
#define OP(name) #name,
#include "tests/ops/op_names.h"
#undef OP
};
enum { OP_COUNT = sizeof OPS / sizeof *OPS };

/* Ops without vectors, each with the reason. */
typedef struct waiver {
	const char *op, *reason;
} waiver;

#define CONSTANT "it makes a constant, without an input to differentiate"
#define NO_GRADIENT "it has no gradient"
#define RANDOM "it draws random numbers"

static const waiver WAIVERS[] = {
	{"scalar", CONSTANT},
	{"full", CONSTANT},
	{"zeros", CONSTANT},
	{"ones", CONSTANT},
	{"zeros_like", CONSTANT},
	{"ones_like", CONSTANT},
	{"from_f64", CONSTANT},
	{"from_f32", CONSTANT},
	{"from_i64", CONSTANT},
	{"from_u8", CONSTANT},
	{"arange", CONSTANT},
	{"linspace", CONSTANT},
	{"eye", CONSTANT},
	{"full_like", CONSTANT},
	{"one_hot", CONSTANT},
	{"rand", RANDOM},
	{"randn", RANDOM},
	{"randint", RANDOM},
	{"randperm", RANDOM},
	{"multinomial", RANDOM},
	{"dropout", RANDOM},
	{"dropout2d", RANDOM},
	{"drop_path", RANDOM},
	{"cast", "vectors have one real type"},
	{"equal", NO_GRADIENT},
	{"not_equal", NO_GRADIENT},
	{"less", NO_GRADIENT},
	{"less_equal", NO_GRADIENT},
	{"greater", NO_GRADIENT},
	{"greater_equal", NO_GRADIENT},
	{"logical_and", NO_GRADIENT},
	{"logical_or", NO_GRADIENT},
	{"logical_not", NO_GRADIENT},
	{"argsort", NO_GRADIENT},
	{"argmax", NO_GRADIENT},
	{"argmin", NO_GRADIENT},
};
enum { WAIVER_COUNT = sizeof WAIVERS / sizeof *WAIVERS };

static int is_vector(const struct dirent *d)
{
	const char *end = strrchr(d->d_name, '.');

	return end && !strcmp(end, ".safetensors");
}

static bool has_vectors(int n, char *const *folders, const char *op)
{
	bool found = false;

	for (int i = 0; i < n && !found; i++) {
		char path[4096];
		DIR *folder;
		struct dirent *d;

		snprintf(path, sizeof path, "%s/%s", folders[i], op);
		folder = opendir(path);
		while (folder && !found && (d = readdir(folder)))
			found = is_vector(d);
		if (folder)
			closedir(folder);
	}
	return found;
}

static const waiver *waiver_of(const char *op)
{
	for (int i = 0; i < WAIVER_COUNT; i++) {
		if (!strcmp(WAIVERS[i].op, op))
			return &WAIVERS[i];
	}
	return NULL;
}

static bool is_op(const char *name)
{
	bool found = false;

	for (int i = 0; i < OP_COUNT; i++)
		found = found || !strcmp(OPS[i], name);
	return found;
}

/* A waiver is out of date when its op has vectors, or is no op. */
static int outdated_waivers(int n, char *const *folders)
{
	int count = 0;

	for (int i = 0; i < WAIVER_COUNT; i++) {
		const char *op = WAIVERS[i].op;

		if (is_op(op) && !has_vectors(n, folders, op))
			continue;
		count++;
		printf("FAILED %s: %s, so its waiver in tests/golden/coverage.c (%s) is out of "
		       "date\n",
			op, is_op(op) ? "has vectors" : "is no op", WAIVERS[i].reason);
	}
	return count;
}

int golden_uncovered(int n, char *const *folders, bool names_only)
{
	int count = 0;

	for (int i = 0; i < OP_COUNT; i++) {
		if (waiver_of(OPS[i]) || has_vectors(n, folders, OPS[i]))
			continue;
		count++;
		if (names_only)
			printf("%s\n", OPS[i]);
		else
			printf("FAILED %s: no golden vectors; make them with \"script/golden %s\" "
			       "(needs python3-torch), or give a reason in "
			       "tests/golden/coverage.c\n",
				OPS[i], OPS[i]);
	}
	return names_only ? count : count + outdated_waivers(n, folders);
}
