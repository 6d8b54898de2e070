/* transforms.h - what the tests of transforms share: images made by formula, and what is drawn. */
#ifndef EBB_TESTS_TRANSFORMS_H
#define EBB_TESTS_TRANSFORMS_H

#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

/* ---- Images --------------------------------------------------------------------------------- */

/* In its own memory; byte k is f(k). */
ebb_image image_of(int64_t height, int64_t width, int64_t channels, int (*f)(int64_t k));
int colourful(int64_t k); /* (37 k + 2 (k k mod 91)) mod 256 */
int pale(int64_t k);      /* a third of that, plus 40 */
int counting(int64_t k);  /* k mod 256 */
ebb_image plain(int64_t side, int64_t channels, int value);
void assert_same(const ebb_image *a, const ebb_image *b);

/* An image that says where its pixels come from: red is the column and green the row, in steps;
 * blue is 255. */
enum { STEP = 6 };
ebb_image map_of(int64_t side);
double column_at(const ebb_image *y, int64_t i, int64_t j);
double row_at(const ebb_image *y, int64_t i, int64_t j);

/* ---- What is drawn -------------------------------------------------------------------------- */

enum { DRAWS = 10000 };

/* Runs the pipeline DRAWS times and looks at each result.  Frees pipeline and image. */
void draw(ebb_augment *a, ebb_image x, void (*look)(const ebb_image *y, void *ctx), void *ctx);

typedef struct spread {
	double sum, square, low, high;
	int n;
} spread;

void add(spread *s, double x);
double mean(const spread *s);
double deviation(const spread *s);

/* Uniform in [low, high], measured to within slack: five standard errors of the mean, all inside,
 * and as close to the ends as such a number of draws comes. */
#define assert_uniform(s, from, to, slack)                                                         \
	do {                                                                                       \
		double width = (to) - (from), error = 5 * width / sqrt(12.0 * (s)->n);             \
                                                                                                   \
		ck_assert_msg((s)->low >= (from) - (slack) && (s)->high <= (to) + (slack),         \
			"%g to %g, expected within %g to %g", (s)->low, (s)->high, (double)(from), \
			(double)(to));                                                             \
		ck_assert_msg((s)->low <= (from) + width / 100 + (slack) &&                        \
				      (s)->high >= (to)-width / 100 - (slack),                     \
			"%g to %g, expected all of %g to %g", (s)->low, (s)->high, (double)(from), \
			(double)(to));                                                             \
		ck_assert_double_eq_tol(mean(s), ((from) + (to)) / 2.0, error + (slack) / 10);     \
		ck_assert_double_eq_tol(                                                           \
			deviation(s), width / sqrt(12), 0.03 * width + (slack) / 10);              \
	} while (0)

/* k of n with probability p: five standard deviations. */
#define assert_frequency(k, n, p)                                                                  \
	ck_assert_double_eq_tol((k) / (double)(n), p, 5 * sqrt((p) * (1 - (p)) / (n)))

#endif
