/*
 * sort.c - the order of elements along the middle axis of [outer,len,inner].
 *
 * An element becomes a 64-bit key whose order as an unsigned number is the order of the elements,
 * so that one sort serves all types.  A key and its position are sorted together, which makes the
 * order of equal elements that of their positions.
 */
#include "integer.h"
#include "real.h"

#include <string.h>

struct pair {
	uint64_t key;
	int64_t at;
};

static inline bool before(const struct pair *a, const struct pair *b)
{
	return a->key < b->key || (a->key == b->key && a->at < b->at);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The bits of a real, as an unsigned number that is ordered like the reals: negative numbers are
 * complemented, the sign of the others is set.  infinity has the bits of the infinite real. */
static inline uint64_t ordered(uint64_t bits, uint64_t sign, uint64_t infinity)
{
	uint64_t size = bits & (sign - 1);

	if (size > infinity) /* NaN */
		return UINT64_MAX;
	if (size == 0) /* -0 is 0 */
		return sign;
	return bits & sign ? sign - 1 - size : sign + size;
}

static inline uint64_t key_of(ebb_element type, const void *x, int64_t i)
{
	uint64_t bits;
	uint32_t narrow;

	switch (type) {
	case EBB_ELEMENT_F32:
		memcpy(&narrow, (const float *)x + i, sizeof narrow);
		return ordered(narrow, UINT64_C(1) << 31, UINT64_C(0xff) << 23);
	case EBB_ELEMENT_F64:
		memcpy(&bits, (const double *)x + i, sizeof bits);
		return ordered(bits, UINT64_C(1) << 63, UINT64_C(0x7ff) << 52);
	case EBB_ELEMENT_I64:
		return (uint64_t)((const int64_t *)x)[i] ^ UINT64_C(1) << 63;
	case EBB_ELEMENT_U8:
		return ((const uint8_t *)x)[i];
	}
	return 0;
}

/* ---- Sorting pairs --------------------------------------------------------------------------- */

enum { RUN = 16 };

static void insertion_sort(struct pair *p, int64_t n)
{
	for (int64_t i = 1; i < n; i++) {
		struct pair v = p[i];
		int64_t k = i;

		for (; k > 0 && before(&v, &p[k - 1]); k--)
			p[k] = p[k - 1];
		p[k] = v;
	}
}

/* A merge sort from runs of RUN pairs upward; spare has room for n pairs. */
static void merge_sort(struct pair *p, struct pair *spare, int64_t n)
{
	struct pair *from = p, *to = spare;

	for (int64_t i = 0; i < n; i += RUN)
		insertion_sort(p + i, i64_min(RUN, n - i));
	for (int64_t width = RUN; width < n; width *= 2) {
		struct pair *swapped = from;

		for (int64_t i = 0; i < n; i += 2 * width) {
			int64_t a = i, middle = i64_min(n, i + width), b = middle;
			int64_t end = i64_min(n, i + 2 * width);

			for (int64_t k = i; k < end; k++) {
				bool left = b == end || (a < middle && before(&from[a], &from[b]));

				to[k] = left ? from[a++] : from[b++];
			}
		}
		from = to;
		to = swapped;
	}
	if (from != p)
		memcpy(p, from, (size_t)n * sizeof *p);
}

/* Restores a heap with the last pair at its root, after p[i] was replaced by an earlier one. */
static void sift_down(struct pair *p, int64_t i, int64_t n)
{
	struct pair v = p[i];

	for (int64_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
		child += child + 1 < n && before(&p[child], &p[child + 1]);
		if (!before(&v, &p[child]))
			break;
		p[i] = p[child];
		i = child;
	}
	p[i] = v;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

struct sort_job {
	ebb_element type;
	bool descending;
	int64_t lines, len, inner, count, chunk;
	const void *x;
	int64_t *index;
	struct pair *ws;
};

static void sort_line(const struct sort_job *j, int64_t line, struct pair *p)
{
	int64_t o = line / j->inner, i = line % j->inner, count = j->count;
	uint64_t flip = j->descending ? UINT64_MAX : 0;

	for (int64_t k = 0; k < j->len; k++) {
		struct pair v = {key_of(j->type, j->x, (o * j->len + k) * j->inner + i) ^ flip, k};

		if (k < count) {
			p[k] = v;
		} else if (before(&v, &p[0])) {
			p[0] = v;
			sift_down(p, 0, count);
		}
		/* The first count pairs become a heap when another pair follows. */
		for (int64_t h = count / 2; k == count - 1 && count < j->len && h-- > 0;)
			sift_down(p, h, count);
	}
	merge_sort(p, p + count, count);
	for (int64_t k = 0; k < count; k++)
		j->index[(o * count + k) * j->inner + i] = p[k].at;
}

static void sort_piece(void *ctx, int64_t piece, int worker)
{
	const struct sort_job *j = ctx;
	int64_t to = i64_min(j->lines, (piece + 1) * j->chunk);

	for (int64_t line = piece * j->chunk; line < to; line++)
		sort_line(j, line, j->ws + 2 * j->count * worker);
}

/* A task may run as any worker, unless there is one task only. */
size_t ebb_sort_workspace(int64_t lines, int64_t count)
{
	size_t bytes;

	if (__builtin_mul_overflow((size_t)2 * sizeof(struct pair), count, &bytes) ||
		__builtin_mul_overflow(bytes, lines > 1 ? ebb_threads() : 1, &bytes))
		return 0;
	return bytes;
}

void ebb_sort_index(ebb_element type, bool descending, int64_t outer, int64_t len, int64_t inner,
	int64_t count, const void *x, int64_t *index, void *ws)
{
	struct sort_job j = {type, descending, outer * inner, len, inner, count, 0, x, index, ws};

	if (j.lines <= 0 || count <= 0)
		return;
	j.chunk = j.lines * len < EBB_PARALLEL_FROM ? j.lines : i64_max(1, EBB_PIECE / len);
	ebb_run_pieces(ebb_ceil_div(j.lines, j.chunk), sort_piece, &j);
}
