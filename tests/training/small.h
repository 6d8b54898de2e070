/* small.h - a run of a few numbers of every kind, and the directory that its saver writes to. */
#ifndef EBB_TESTS_TRAINING_SMALL_H
#define EBB_TESTS_TRAINING_SMALL_H

#include "tests/support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct small {
	ebb_params *p;
	ebb_tensor *x; /* channels-last */
	double number, list[3];
	int64_t big;
	uint64_t bits;
	int small;
	bool flag;
	char text[32];
	ebb_average average;
	ebb_tape *t;
	ebb_saver *s;
} small;

static inline void fill(ebb_tensor *x, double from)
{
	float *v = ebb_data_mutable(x);

	for (int64_t i = 0; i < ebb_count(x); i++)
		v[i] = (float)(from + (double)i);
}

static inline small small_begin(const char *path, int keep, bool background)
{
	ebb_error e = {0};
	small m = {.p = ebb_params_new(1), .t = ebb_tape_new()};

	ebb_linear_new(m.p, "fc", 3, 2);
	ebb_buffers_add(m.p, "mean", EBB_SHAPE(2), 0);
	m.x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 2, 2), true, NULL);
	m.s = ebb_saver_new(path, .keep = keep, .background = background, .error = &e);
	ck_assert_msg(m.s, "%s", e.message);
	return m;
}

/* Adds everything to the saver; called when the struct has its final address. */
static inline void small_add(small *m)
{
	ebb_saver_add(m->s, "model", m->p);
	ebb_saver_add(m->s, "x", m->x);
	ebb_saver_add(m->s, "number", &m->number);
	ebb_saver_add_f64s(m->s, "list", m->list, 3);
	ebb_saver_add(m->s, "big", &m->big);
	ebb_saver_add(m->s, "bits", &m->bits);
	ebb_saver_add(m->s, "small", &m->small);
	ebb_saver_add(m->s, "flag", &m->flag);
	ebb_saver_add_text(m->s, "text", m->text, sizeof m->text);
	ebb_saver_add(m->s, "average", &m->average);
	ebb_saver_add(m->s, "tape", m->t);
	ck_assert(!ebb_saver_error(m->s));
}

static inline void small_set(small *m, int k)
{
	fill(ebb_params_find(m->p, "fc.weight"), 10 * k);
	fill(ebb_params_find(m->p, "mean"), 100 * k);
	fill(m->x, 1000 * k);
	m->number = k / 3.0;
	for (int i = 0; i < 3; i++)
		m->list[i] = k + i / 7.0;
	m->big = INT64_MIN + k;
	m->bits = UINT64_MAX - (uint64_t)k;
	m->small = -k;
	m->flag = k % 2;
	snprintf(m->text, sizeof m->text, "step \xc3\xa9 %d", k);
	m->average = (ebb_average){k * 1.5, k + 0.25};
	ebb_set_random_state(m->t, (ebb_random){UINT64_MAX - 5, (uint64_t)k << 40});
}

static inline void small_check(const small *m, int k)
{
	small want = {.p = ebb_params_new(1),
		.t = ebb_tape_new(),
		.x = ebb_tensor_new(EBB_F32, EBB_SHAPE(2, 3, 2, 2), true, NULL)};
	ebb_random r = ebb_random_state(m->t), q;

	ebb_linear_new(want.p, "fc", 3, 2);
	ebb_buffers_add(want.p, "mean", EBB_SHAPE(2), 0);
	small_set(&want, k);
	q = ebb_random_state(want.t);
	ck_assert(params_hash(m->p) == params_hash(want.p) && all_same(m->x, want.x));
	ck_assert(m->number == want.number && memcmp(m->list, want.list, sizeof m->list) == 0);
	ck_assert(m->big == want.big && m->bits == want.bits && m->small == want.small);
	ck_assert(m->flag == want.flag && strcmp(m->text, want.text) == 0);
	ck_assert(m->average.sum == want.average.sum && m->average.weight == want.average.weight);
	ck_assert(r.seed == q.seed && r.stream == q.stream);
	ebb_params_free(want.p);
	ebb_tape_free(want.t);
	ebb_tensor_free(want.x);
}

static inline void small_end(small *m)
{
	ebb_saver_free(m->s);
	ebb_params_free(m->p);
	ebb_tensor_free(m->x);
	ebb_tape_free(m->t);
}

static inline bool there(const char *name)
{
	return access(temp_path(name), F_OK) == 0;
}

static inline int files(void)
{
	DIR *d = opendir(temp_dir);
	int n = 0;

	ck_assert(d);
	for (const struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static inline void damage(const char *name)
{
	int fd = open(temp_path(name), O_WRONLY);

	ck_assert(fd >= 0 && ftruncate(fd, 100) == 0);
	close(fd);
}

#define assert_error(s, ...)                                                                       \
	do {                                                                                       \
		const char *const words_[] = {__VA_ARGS__};                                        \
		const ebb_error *error_ = ebb_saver_error(s);                                      \
		ck_assert(error_);                                                                 \
		for (size_t k_ = 0; k_ < sizeof words_ / sizeof *words_; k_++)                     \
			ck_assert_msg(strstr(error_->message, words_[k_]), "\"%s\" is not in: %s", \
				words_[k_], error_->message);                                      \
		ebb_saver_clear_error(s);                                                          \
	} while (0)

#endif
