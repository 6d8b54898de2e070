/* indexing.c - scans, indices, comparisons, rearrangement. */
#include "tests/ops/ops_test.h"

const entry indexing_ops[] = {
	{.name = NULL},
};
