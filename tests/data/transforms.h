/* transforms.h - for the tests of transforms: images given by formulas, and statistics of random
 * results. */
#ifndef EBB_TESTS_TRANSFORMS_H
#define EBB_TESTS_TRANSFORMS_H

#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#include "data/augment/internal.h"

/* ---- Images --------------------------------------------------------------------------------- */

/* An image in its own memory; byte k is f(k). */
ebb_image image_of(int64_t height, int64_t width, int64_t channels, int (*f)(int64_t k));
int colourful(int64_t k); /* (37 k + 2 (k k mod 91)) mod 256 */
int pale(int64_t k);      /* a third of that, plus 40 */
int counting(int64_t k);  /* k mod 256 */
ebb_image plain(int64_t side, int64_t channels, int value);
void assert_same(const ebb_image *a, const ebb_image *b);

/* An image that encodes the origin of its pixels: red is the column and green the row, in steps of
 * STEP; blue is 255. */
enum { STEP = 6 };
ebb_image map_of(int64_t side);
double column_at(const ebb_image *y, int64_t i, int64_t j);
double row_at(const ebb_image *y, int64_t i, int64_t j);

/* ---- Random draws --------------------------------------------------------------------------- */

enum { DRAWS = 10000 };

/* Runs the pipeline DRAWS times and calls look with each result.  Frees pipeline and image. */
void draw(ebb_augment *a, ebb_image x, void (*look)(const ebb_image *y, void *ctx), void *ctx);

typedef struct spread {
	double sum, square, low, high;
	int n;
} spread;

void add(spread *s, double x);
double mean(const spread *s);
double deviation(const spread *s);

/* Checks for a uniform distribution on [low, high], measured to within slack: the mean to five
 * standard errors, all draws inside, and the extremes as close to the ends as expected. */
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

/* Checks that k of n events have probability p, to five standard deviations. */
#define assert_frequency(k, n, p)                                                                  \
	ck_assert_double_eq_tol((k) / (double)(n), p, 5 * sqrt((p) * (1 - (p)) / (n)))

#endif
