#include "tests/support/refusals.h"
#include "tests/support/sanitized.h"

#include "tensor/host.h"
#include "tensor/internal.h"

refusals requests = {.at = -1};

void refuse_at(int64_t n)
{
	requests = (refusals){.at = n};
}

static bool is_refused(void)
{
	bool refuse = requests.requests++ == requests.at;

	requests.refused += refuse;
	return refuse;
}

/* ---- What the linker puts in place of the library's functions ------------------------------- */

ebb_storage *__real_ebb_pool_take(ebb_pool *p, size_t bytes);
ebb_storage *__wrap_ebb_pool_take(ebb_pool *p, size_t bytes);
ebb_storage *__wrap_ebb_pool_take(ebb_pool *p, size_t bytes)
{
	return is_refused() ? NULL : __real_ebb_pool_take(p, bytes);
}

bool __real_ebb_storage_refill(ebb_storage *s);
bool __wrap_ebb_storage_refill(ebb_storage *s);
bool __wrap_ebb_storage_refill(ebb_storage *s)
{
	return !is_refused() && __real_ebb_storage_refill(s);
}

ebb_storage *__real_ebb_storage_new(size_t bytes);
ebb_storage *__wrap_ebb_storage_new(size_t bytes);
ebb_storage *__wrap_ebb_storage_new(size_t bytes)
{
	return is_refused() ? NULL : __real_ebb_storage_new(bytes);
}

void *__real_ebb_arena_take(ebb_arena *a, size_t size);
void *__wrap_ebb_arena_take(ebb_arena *a, size_t size);
void *__wrap_ebb_arena_take(ebb_arena *a, size_t size)
{
	return is_refused() ? NULL : __real_ebb_arena_take(a, size);
}

bool __real_ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element);
bool __wrap_ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element);
bool __wrap_ebb_grow(void *array, int64_t *capacity, int64_t n, size_t element)
{
	return !is_refused() && __real_ebb_grow(array, capacity, n, element);
}

void *__real_ebb_alloc_zeroed(size_t size);
void *__wrap_ebb_alloc_zeroed(size_t size);
void *__wrap_ebb_alloc_zeroed(size_t size)
{
	return is_refused() ? NULL : __real_ebb_alloc_zeroed(size);
}

/* ---- Every request in turn ------------------------------------------------------------------ */

static void prepare(const attempt *a, ebb_tape *t)
{
	if (a->prepare)
		a->prepare(t, a->ctx);
	ck_assert_msg(!ebb_failed(t), "%s: %s", a->name, ebb_error_message(t));
}

static void reset(const attempt *a, ebb_tape *t)
{
	ebb_tape_reset(t);
	ck_assert_msg(ebb_memory_of(t).in_use == 0, "%s: memory is in use after a reset", a->name);
	if (a->finish)
		a->finish(a->ctx);
}

/* Whether request n was made, and so refused. */
static bool run_without(const attempt *a, int64_t n, int64_t *unnoticed)
{
	ebb_tape *t = ebb_tape_new();
	bool ok, refused;

	ebb_set_default_dtype(t, EBB_F64);
	prepare(a, t);
	refuse_at(n);
	ok = a->run(t, a->ctx);
	refused = requests.refused > 0;
	refuse_at(-1);
	ck_assert_msg(ok == !ebb_failed(t), "%s, request %ld: %s, but %s", a->name, (long)n,
		ok ? "success" : "failure", ok ? ebb_error_message(t) : "no error");
	ck_assert_msg(ok || (refused && ebb_error_status(t) == EBB_NO_MEMORY),
		"%s, request %ld: %s", a->name, (long)n, ebb_error_message(t));
	*unnoticed += refused && ok;
	ebb_clear_error(t);
	reset(a, t);
	prepare(a, t);
	ck_assert_msg(a->run(t, a->ctx), "%s, after request %ld was refused: %s", a->name, (long)n,
		ebb_error_message(t));
	reset(a, t);
	ebb_tape_free(t);
	return refused;
}

int64_t refuse_each(const attempt *a)
{
	counting_allocator alloc;
	int64_t n = 0, unnoticed = 0;

	counting_allocator_install(&alloc);
	while (run_without(a, n, &unnoticed))
		n += SANITIZED ? 3 : 1;
	ck_assert_msg(n > 0, "%s asks for no memory", a->name);
	ck_assert_msg(alloc.live == 0 && alloc.wrong == 0, "%s: %ld blocks left", a->name,
		(long)alloc.live);
	counting_allocator_remove();
	return unnoticed;
}
