#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int run_suite(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void check_error(ebb_tape *t, ebb_status status, const char *call, const char *const *words)
{
	const char *message = ebb_error_message(t);

	ck_assert_msg(ebb_failed(t), "%s left no error", call);
	ck_assert_msg(ebb_error_status(t) == status, "%s: status %d, expected %d: %s", call,
		(int)ebb_error_status(t), (int)status, message);
	for (; *words; words++)
		ck_assert_msg(strstr(message, *words) != NULL, "%s: \"%s\" is not in: %s", call,
			*words, message);
}

/* ---- Debug mode ----------------------------------------------------------------------------- */

static char debug_before[8];
static bool debug_was_said;

static void say_debug(const char *value)
{
	const char *before = getenv("EBB_DEBUG");

	debug_was_said = before != NULL;
	snprintf(debug_before, sizeof debug_before, "%s", before ? before : "");
	setenv("EBB_DEBUG", value, 1);
}

void debug_on(void)
{
	say_debug("1");
}

void debug_off(void)
{
	say_debug("0");
}

void debug_as_before(void)
{
	if (debug_was_said)
		setenv("EBB_DEBUG", debug_before, 1);
	else
		unsetenv("EBB_DEBUG");
}

/* ---- Files ---------------------------------------------------------------------------------- */

char temp_dir[64];

void make_temp_dir(void)
{
	strcpy(temp_dir, "/tmp/ebb-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(temp_dir));
}

void remove_temp_dir(void)
{
	char command[100];

	snprintf(command, sizeof command, "rm -r %s", temp_dir);
	ck_assert_int_eq(system(command), 0);
}

const char *temp_path(const char *name)
{
	static char path[2][300];
	static int next;

	next = !next;
	snprintf(path[next], sizeof path[next], "%s/%s", temp_dir, name);
	return path[next];
}

const char *write_temp(const char *name, const void *bytes, size_t n)
{
	const char *path = temp_path(name);
	char part[300];
	FILE *f;

	for (const char *slash = path + strlen(temp_dir) + 1; (slash = strchr(slash, '/'));
		slash++) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		mkdir(part, 0700);
	}
	f = fopen(path, "wb");
	ck_assert(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
	return path;
}

/* splitmix64 (Steele et al. 2014) */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

ebb_tensor *persistent_random(ebb_dtype dtype, ebb_shape shape, uint64_t seed)
{
	ebb_tensor *x = ebb_tensor_new(dtype, shape, false, NULL);
	int64_t n = ebb_count(x);
	void *data = ebb_data_mutable(x);

	ck_assert_ptr_nonnull(x);
	for (int64_t i = 0; i < n; i++) {
		double value = (double)(next_random(&seed) >> 11) * 0x1p-52 - 1;

		if (dtype == EBB_F64)
			((double *)data)[i] = value;
		else
			((float *)data)[i] = (float)value;
	}
	return x;
}

static bool same_shape(const ebb_tensor *a, const ebb_tensor *b)
{
	if (!a || !b || ebb_ndim(a) != ebb_ndim(b))
		return false;
	for (int i = 0; i < ebb_ndim(a); i++) {
		if (ebb_size(a, i) != ebb_size(b, i))
			return false;
	}
	return true;
}

bool all_close(const ebb_tensor *a, const ebb_tensor *b, double tolerance)
{
	if (!same_shape(a, b))
		return false;
	for (int64_t i = 0; i < ebb_count(a); i++) {
		if (!(fabs(ebb_at(a, i) - ebb_at(b, i)) <= tolerance * (1 + fabs(ebb_at(b, i)))))
			return false;
	}
	return true;
}

static uint64_t hash_tensor(uint64_t h, const ebb_tensor *x)
{
	size_t bytes = (size_t)ebb_count(x) * ebb_dtype_size(ebb_dtype_of(x));
	unsigned char *copy = malloc(bytes + 1);

	ck_assert(copy && ebb_copy_out(x, copy, bytes));
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ copy[i]) * 0x100000001b3u; /* FNV-1a */
	free(copy);
	return h;
}

bool all_same(const ebb_tensor *a, const ebb_tensor *b)
{
	return same_shape(a, b) && ebb_dtype_of(a) == ebb_dtype_of(b) &&
	       hash_tensor(1, a) == hash_tensor(1, b);
}

uint64_t params_hash(const ebb_params *p)
{
	uint64_t h = 1;

	for (int64_t i = 0; i < ebb_params_count(p); i++)
		h = hash_tensor(h, ebb_params_at(p, i));
	for (int64_t i = 0; i < ebb_buffers_count(p); i++)
		h = hash_tensor(h, ebb_buffers_at(p, i));
	return h;
}

uint64_t grads_hash(const ebb_params *p)
{
	uint64_t h = 1;

	for (int64_t i = 0; i < ebb_params_count(p); i++) {
		const ebb_tensor *g = ebb_grad_of(ebb_params_at(p, i));

		h = g ? hash_tensor(h, g) : h * 31;
	}
	return h;
}

/* ---- The allocator: a header in front of each block holds the block's size ---------- */

enum { HEADER = 16 };

static void *counted(void *ctx, void *p, size_t old_size, size_t new_size)
{
	counting_allocator *a = ctx;
	char *block = p ? (char *)p - HEADER : NULL, *moved;
	int64_t call;

	if (block && *(size_t *)(void *)block != old_size)
		a->wrong++;
	if (!new_size) {
		if (block) {
			a->live--;
			a->bytes -= (int64_t) * (size_t *)(void *)block;
		}
		free(block);
		return NULL;
	}
	call = a->calls++;
	if (a->fail_at >= 0 && (call == a->fail_at || (a->fail_after && call > a->fail_at))) {
		a->refused++;
		return NULL;
	}
	moved = realloc(block, new_size + HEADER);
	if (!moved)
		return NULL;
	a->live += !block;
	a->bytes += (int64_t)new_size - (int64_t)(block ? old_size : 0);
	*(size_t *)(void *)moved = new_size;
	return moved + HEADER;
}

void counting_allocator_install(counting_allocator *a)
{
	*a = (counting_allocator){.fail_at = -1};
	ebb_set_allocator(counted, a);
}

void counting_allocator_remove(void)
{
	ebb_set_allocator(NULL, NULL);
}

/* ---- LeNet -------------------------------------------------------------------------- */

lenet lenet_new(ebb_params *p)
{
	return (lenet){
		.conv1 = ebb_conv_new(p, "conv1", 1, 6, 5, .pad = 2),
		.conv2 = ebb_conv_new(p, "conv2", 6, 16, 5),
		.fc1 = ebb_linear_new(p, "fc1", 16 * 5 * 5, 120),
		.fc2 = ebb_linear_new(p, "fc2", 120, 84),
		.fc3 = ebb_linear_new(p, "fc3", 84, 10),
	};
}

ebb_tensor *lenet_forward(ebb_tape *t, const lenet *net, ebb_tensor *x)
{
	x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &net->conv1, x)), .kernel = 2);
	x = ebb_maxpool2d(t, ebb_relu(t, ebb_conv_forward(t, &net->conv2, x)), .kernel = 2);
	x = ebb_flatten(t, x);
	x = ebb_relu(t, ebb_linear_forward(t, &net->fc1, x));
	x = ebb_relu(t, ebb_linear_forward(t, &net->fc2, x));
	return ebb_linear_forward(t, &net->fc3, x);
}
