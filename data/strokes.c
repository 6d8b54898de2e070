/*
 * strokes.c - handwritings of the ten digits.
 *
 * A handwriting is a list of pen positions "x,y" in a box of 100 x 100, y downwards, joined by a
 * smooth curve.  "*" makes the point before it a corner, ";" lifts the pen.  A stroke that ends
 * where it began is closed.
 */
#include <stdlib.h>

#include "data/internal.h"

enum { MAX_HANDS = 6, MAX_POINTS = 24, STEPS = 6 };

static const char *const HANDS[10][MAX_HANDS] = {
	{
		"50,6 28,16 20,50 28,84 50,94 72,84 80,50 72,16 50,6",
		"48,6 36,20 32,50 38,82 52,94 64,80 68,48 62,18 48,6",
		"66,14 44,6 24,28 22,62 38,92 62,90 78,62 74,30 56,10 44,14",
		"50,6 28,18 22,50 30,84 50,94 70,84 78,50 70,18 50,6; 74,14 26,88",
		"58,10 34,16 22,48 30,84 54,94 74,74 76,40 62,14",
	},
	{
		"50,6 50,94",
		"58,6 44,94",
		"32,26 52,6* 52,94",
		"34,24 52,6* 52,94; 30,94 74,94",
		"24,44 42,24 56,6* 54,94",
		"50,8 54,40 50,92; 34,92 66,92",
	},
	{
		"24,26 34,10 52,6 70,14 74,32 62,54 40,76 22,92* 78,92",
		"26,24 42,8 64,10 72,30 58,56 36,84 24,90 24,80 38,80 58,92 78,88",
		"24,14 50,8 72,12* 26,92* 78,90",
		"22,34 30,12 54,6 74,20 70,44 46,68 20,90* 50,86 80,92",
		"30,22 48,8 66,20 60,46 44,70 30,92* 72,88",
	},
	{
		"26,16 46,6 68,14 68,34 48,46* 72,58 76,78 54,94 24,84",
		"26,8 72,8* 46,42* 68,50 76,72 58,94 26,88",
		"28,20 50,6 70,24 54,44 40,48* 66,52 74,74 52,94 24,82",
		"26,18 48,6 68,20 60,40 42,48 40,42 56,46 74,64 66,88 42,94 24,82",
		"30,12 54,8 66,24 44,46* 64,56 68,76 50,92 30,90",
	},
	{
		"30,6 24,54* 78,54; 64,24 60,94",
		"62,94 62,6* 20,64* 82,64",
		"32,8 22,40 34,58 72,52; 70,8 66,94",
		"36,6 24,56* 80,52; 58,30 56,94",
		"28,10 28,48 46,58 70,46; 72,8* 68,50 64,94",
	},
	{
		"72,8 34,8* 30,46* 52,40 74,56 72,80 52,94 24,86",
		"34,8 30,46* 56,40 74,60 68,86 46,94 24,84; 34,8 76,6",
		"70,10 42,10 32,28 44,44 64,56 72,74 56,92 26,88",
		"68,6 38,10* 28,50* 50,44 72,60 66,86 42,94 24,84",
		"74,14 38,12* 36,42* 62,46 70,70 54,90 30,92",
	},
	{
		"66,8 40,24 26,58 32,88 54,94 72,80 68,60 48,54 28,70",
		"58,6 36,40 26,70 40,94 64,90 72,70 56,56 34,64 28,78",
		"70,16 54,6 34,24 24,60 34,90 58,92 70,74 58,60 38,64 28,80",
		"52,6 34,44 28,74 46,94 68,84 64,60 44,58 30,74",
		"68,12 40,30 26,64 38,92 64,90 74,66 54,52 30,66",
	},
	{
		"22,10 76,10* 44,94",
		"22,12 76,10* 46,94; 34,52 68,50",
		"22,18 30,10 54,14 76,8* 56,44 46,94",
		"22,26 24,10* 78,10* 58,50 48,94",
		"26,14 72,8* 66,40 40,92",
	},
	{
		"50,48 30,34 32,12 50,6 68,12 70,32 50,48 28,66 28,86 50,94 72,86 72,66 50,48",
		"70,16 50,6 32,18 38,40 62,56 72,78 50,94 28,78 38,58 62,40 70,16",
		("50,46 32,36 34,12 50,6 66,12 68,36 50,46; 50,46 26,62 26,86 50,94 74,86 74,62 "
		 "50,46"),
		"66,10 44,8 32,24 46,44 68,62 70,84 48,94 28,82 34,60 58,40 74,20",
		"48,44 34,30 40,10 58,8 66,26 50,46 30,70 36,92 60,92 68,70 48,44",
	},
	{
		"70,28 54,8 32,14 26,36 44,50 66,40 70,22 68,60 60,94",
		"70,16 46,6 28,24 34,46 56,46 70,26; 70,10 66,94",
		"70,24 52,6 30,18 30,42 52,50 70,28* 74,62 60,90 32,90",
		"68,36 44,50 28,32 40,8 64,10 70,34 62,66 46,94",
		"66,22 48,8 30,26 40,44 66,24* 62,94",
	},
};

typedef struct pen {
	float x, y;
	bool corner;
} pen;

int ebb_digit_hands(int digit)
{
	int n = 0;

	while (n < MAX_HANDS && HANDS[digit][n])
		n++;
	return n;
}

/* Parses one stroke; returns the text after it. */
static const char *read_stroke(const char *text, pen *p, int *count)
{
	int n = 0;

	while (*text && *text != ';' && n < MAX_POINTS) {
		char *end;

		p[n].x = (float)strtol(text, &end, 10) / 100;
		p[n].y = (float)strtol(end + 1, &end, 10) / 100;
		p[n].corner = *end == '*';
		n++;
		text = end + (*end == '*');
	}
	*count = n;
	return *text == ';' ? text + 1 : text;
}

/* The tangent of the curve at point i, for the segment that starts there (after = true) or ends
 * there. */
static pen tangent(const pen *p, int n, int i, bool after)
{
	bool closed = p[0].x == p[n - 1].x && p[0].y == p[n - 1].y;
	int before = i - 1, next = i + 1;

	if (p[i].corner || (!closed && (i == 0 || i == n - 1))) {
		before = after ? i : i - 1;
		next = after ? i + 1 : i;
		return (pen){.x = p[next].x - p[before].x, .y = p[next].y - p[before].y};
	}
	before = before < 0 ? n - 2 : before;
	next = next > n - 1 ? 1 : next;
	return (pen){.x = (p[next].x - p[before].x) / 2, .y = (p[next].y - p[before].y) / 2};
}

static void emit(ebb_ink *ink, float x, float y, bool start)
{
	if (ink->count == EBB_MAX_INK)
		return;
	ink->at[ink->count].x = x;
	ink->at[ink->count].y = y;
	ink->at[ink->count++].start = start;
}

/* A Catmull-Rom spline through the points, with STEPS segments from one point to the next. */
static void trace(const pen *p, int n, ebb_ink *ink)
{
	emit(ink, p[0].x, p[0].y, true);
	for (int i = 0; i + 1 < n; i++) {
		pen a = tangent(p, n, i, true), b = tangent(p, n, i + 1, false);

		for (int k = 1; k <= STEPS; k++) {
			float t = (float)k / STEPS, t2 = t * t, t3 = t2 * t;
			float h0 = 2 * t3 - 3 * t2 + 1, h1 = t3 - 2 * t2 + t, h2 = 3 * t2 - 2 * t3,
			      h3 = t3 - t2;

			emit(ink, h0 * p[i].x + h1 * a.x + h2 * p[i + 1].x + h3 * b.x,
				h0 * p[i].y + h1 * a.y + h2 * p[i + 1].y + h3 * b.y, false);
		}
	}
}

void ebb_digit_trace(int digit, int hand, ebb_ink *ink)
{
	const char *text = HANDS[digit][hand];
	pen points[MAX_POINTS];
	int n;

	ink->count = 0;
	while (*text) {
		text = read_stroke(text, points, &n);
		trace(points, n, ink);
	}
}
