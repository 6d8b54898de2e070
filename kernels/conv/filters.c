/*
 * filters.c - packs the filters of a convolution into panels, as the micro-kernel reads them.
 */
#include "kernels/conv/direct.h"
#include "kernels/transpose.h"

#include <string.h>

struct pack_job {
	const ebb_conv_shape *s;
	struct ebb_taps t;
	bool transposed; /* columns are input channels, terms output channels */
	const real *w;
	real *to;
	int64_t panels;
};

/* The index of tap u among the count taps first, first+step, ...; -1 if it is none of them. */
static int64_t place_of(int64_t u, int64_t first, int64_t step, int64_t count)
{
	if (count < 2 || step == 0)
		return count > 0 && u == first ? 0 : -1;
	return (u - first) % step == 0 && (u - first) / step >= 0 && (u - first) / step < count
	               ? (u - first) / step
	               : -1;
}

/* Copies count transposed rows of a panel to their places.  The first row is term (k, tap), the
 * next rows are the following taps and channels; taps that the pass does not use are skipped. */
static void put_lines(const struct pack_job *j, int64_t count, const real *lines, int64_t width,
	int64_t k, int64_t tap, int64_t terms, real *to)
{
	int64_t kw = j->s->kw, khw = j->s->kh * kw;

	for (int64_t i = 0; i < count; i++, tap++) {
		int64_t u, v;

		if (tap == khw) {
			tap = 0;
			k++;
		}
		u = place_of(tap / kw, j->t.first_u, j->t.step_u, j->t.count_u);
		v = place_of(tap % kw, j->t.first_v, j->t.step_v, j->t.count_v);
		if (u >= 0 && v >= 0)
			memcpy(to + ((u * j->t.count_v + v) * terms + k) * width, lines + i * width,
				(size_t)width * sizeof(real));
	}
}

static void pack_panel(void *ctx, int64_t piece, int worker)
{
	enum { LINES = 64, WIDE = 2 * EBB_VLEN };
	const struct pack_job *j = ctx;
	int64_t group = piece / j->panels, wide = ebb_gemm_panels[EBB_PANELS - 1].width;
	int64_t at = piece % j->panels * wide, khw = j->s->kh * j->s->kw;
	int64_t og = j->s->o / j->s->groups, cg = j->s->c / j->s->groups;
	int64_t columns = j->transposed ? cg : og, terms = j->transposed ? og : cg;
	int64_t col_stride = j->transposed ? khw : cg * khw;
	int64_t width = ebb_gemm_panel_for(columns - at)->width,
		cols = i64_min(width, columns - at);
	int64_t taps = j->t.count_u * j->t.count_v;
	const real *w = j->w + group * og * cg * khw + at * col_stride;
	real *to = j->to + taps * terms * (group * ebb_panel_columns(columns) + at);
	/* The weights of a column are contiguous for all terms; in the transposed form, for one
	 * term. */
	int64_t length = j->transposed ? khw : terms * khw, rows = j->transposed ? terms : 1;
	real lines[LINES * WIDE] = {0};

	(void)worker;
	for (int64_t k = 0; k < rows; k++) {
		for (int64_t from = 0; from < length; from += LINES) {
			int64_t count = i64_min(LINES, length - from);

			ebb_transpose_block(
				cols, count, w + k * cg * khw + from, col_stride, lines, width);
			put_lines(j, count, lines, width, k + from / khw, from % khw, terms, to);
		}
	}
}

void ebb_pack_filters(
	const ebb_conv_shape *s, struct ebb_taps t, bool transposed, const real *w, real *to)
{
	struct pack_job j = {s, t, transposed, w, to, 0};
	int64_t columns = (transposed ? s->c : s->o) / s->groups;

	j.panels = ebb_ceil_div(columns, ebb_gemm_panels[EBB_PANELS - 1].width);
	/* Packing few weights takes less time than waking a thread. */
	if (s->o * (s->c / s->groups) * s->kh * s->kw < EBB_PARALLEL_FROM) {
		for (int64_t i = 0; i < s->groups * j.panels; i++)
			pack_panel(&j, i, 0);
	} else {
		ebb_run_pieces(s->groups * j.panels, pack_panel, &j);
	}
}

int64_t ebb_packed_filters(const ebb_conv_shape *s, bool transposed)
{
	int64_t columns = (transposed ? s->c : s->o) / s->groups;
	int64_t terms = (transposed ? s->o : s->c) / s->groups;

	return ebb_lines(s->groups * terms * s->kh * s->kw * ebb_panel_columns(columns));
}
