/* tree.c - joins neighbouring lines of the table by the dots of their paths, until they fit. */
#include "tensor/host.h"
#include "flow/instrument/internal.h"

#include <math.h>
#include <string.h>

/* A path, as the first length bytes of s; length 0: the whole network. */
struct path {
	const char *s;
	int length;
};

/* The longest path that both are inside of or equal to. */
static struct path common(struct path a, struct path b)
{
	int n = 0, end = 0;

	while (n < a.length && n < b.length && a.s[n] == b.s[n]) {
		if (a.s[n] == '.')
			end = n;
		n++;
	}
	bool a_ends = n == a.length || a.s[n] == '.', b_ends = n == b.length || b.s[n] == '.';
	return (struct path){a.s, a_ends && b_ends ? n : end};
}

static bool same(struct path a, struct path b)
{
	return a.length == b.length && memcmp(a.s, b.s, (size_t)a.length) == 0;
}

static int depth(struct path p)
{
	int parts = p.length > 0;

	for (int i = 0; i < p.length; i++)
		parts += p.s[i] == '.';
	return parts;
}

static struct path head_of(const struct flow_line *l)
{
	return (struct path){l->head, l->head_length};
}

static struct path tail_of(const struct flow_line *l)
{
	return (struct path){l->tail, l->tail_length};
}

/* The path that contains all layers of two neighbouring lines; false if they stay apart. */
static bool parent(const struct flow_line *l, struct path *p)
{
	if (l[0].kept || l[1].kept)
		return false;
	*p = common(common(head_of(&l[0]), tail_of(&l[0])), common(head_of(&l[1]), tail_of(&l[1])));
	return true;
}

/* The lines that can be joined below one path: runs of neighbours. */
struct group {
	struct path path;
	int pairs; /* by so many the table becomes shorter if each run is joined to one line */
	int runs;
	double deviation;
};

static struct group group_below(const struct flow_line *l, int n, struct path path)
{
	struct group g = {path, 0, 0, 0};
	bool open = false;
	struct path p;

	for (int i = 0; i + 1 < n; i++) {
		bool pair = parent(l + i, &p) && same(p, path);
		if (pair)
			g.deviation = fmax(g.deviation, fmax(l[i].deviation, l[i + 1].deviation));
		g.pairs += pair;
		g.runs += pair && !open;
		open = pair;
	}
	return g;
}

/* The group to join next: the deepest, of these the one with most lines, of these the one whose
 * factors deviate least from 1. */
static struct group next_group(const struct flow_line *l, int n)
{
	struct group best = {0};
	int deepest = -1;
	struct path p;

	for (int i = 0; i + 1 < n; i++) {
		int d;
		if (!parent(l + i, &p) || (d = depth(p)) < deepest ||
			(d == deepest && same(p, best.path)))
			continue;
		struct group g = group_below(l, n, p);
		if (d > deepest || g.pairs > best.pairs ||
			(g.pairs == best.pairs && g.deviation < best.deviation))
			best = g;
		deepest = d;
	}
	return best;
}

/* Whether no line but l[from..to] has layers inside p. */
static bool covers(const struct flow_line *l, int n, int from, int to, struct path p)
{
	for (int i = 0; i < n; i++)
		if ((i < from || i > to) &&
			(same(common(head_of(&l[i]), p), p) || same(common(tail_of(&l[i]), p), p)))
			return false;
	return p.length > 0;
}

static struct flow_line join(const struct flow_line *l, int from, int to)
{
	struct flow_line joined = l[from];

	joined.last = l[to].last;
	joined.tail = l[to].tail;
	joined.tail_length = l[to].tail_length;
	for (int i = from; i <= to; i++)
		joined.deviation = fmax(joined.deviation, l[i].deviation);
	return joined;
}

/* In how many pieces a run is joined if a piece has at most `most` lines on average. */
static int pieces_of(int length, double most)
{
	return (int)ceil(length / most - 1e-9);
}

/* What is joined: the lines below one path, or (all) below every path of its depth. */
struct choice {
	struct path path;
	bool all;
};

/* The length of the run that begins at line i: 1 if it is not joined with its successor.  *p: the
 * path of the run. */
static int run_at(const struct flow_line *l, int n, int i, const struct choice *c, struct path *p)
{
	int length = 1;
	struct path next;

	*p = c->path;
	while (i + length < n && parent(l + i + length - 1, &next)) {
		if (c->all && length == 1 && depth(next) == depth(c->path))
			*p = next;
		if (!same(next, *p))
			break;
		length++;
	}
	return length;
}

/* Joins each chosen run in pieces of nearly equal length. */
static int join_runs(struct flow_line *l, int n, const struct choice *c, double most)
{
	int kept = 0;
	struct path path;

	for (int i = 0, length; i < n; i += length) {
		length = run_at(l, n, i, c, &path);
		int pieces = pieces_of(length, most);
		bool whole = length > 1 && pieces == 1 && covers(l, n, i, i + length - 1, path);
		/* kept <= i, so that no line is overwritten before it is read.  Of the lines before
		 * i, covers may read one that has been joined: its paths are still right. */
		for (int k = 0; k < pieces; k++) {
			int from = i + k * length / pieces, to = i + (k + 1) * length / pieces - 1;
			struct flow_line joined = join(l, from, to);
			if (whole) {
				joined.head = joined.tail = path.s;
				joined.head_length = joined.tail_length = path.length;
			}
			l[kept++] = joined;
		}
	}
	return kept;
}

/* How many lines are lost if the chosen runs are joined. */
static int lost(const struct flow_line *l, int n, const struct choice *c, double most)
{
	int sum = 0;
	struct path path;

	for (int i = 0, length; i < n; i += length) {
		length = run_at(l, n, i, c, &path);
		sum += length - pieces_of(length, most);
	}
	return sum;
}

int ebb_flow_collapse(struct flow_line *line, int n, int most)
{
	/* A group of more lines is joined in pieces, so that the table does not shrink from
	 * hundreds of lines to one. */
	enum { WHOLE = 8 };

	while (n > most) {
		int need = n - most;
		double length = n;
		struct group g = next_group(line, n);
		struct choice c = {g.path, true};
		if (g.pairs == 0)
			break;
		int all = lost(line, n, &c, n);
		bool small = g.pairs + g.runs <= WHOLE;
		/* The whole depth is joined if it has to be, or if lines enough remain: equal
		 * blocks then look alike. */
		c.all = all <= need || (small && n - all >= 2 * most / 3);
		if (g.pairs > need && !small)
			for (length = 1; lost(line, n, &c, length) < need;)
				length += 1.0 / 16;
		n = join_runs(line, n, &c, length);
	}
	return n;
}

/* Ops that belong to no layer form one with the path "". */
static struct path visible(struct path p)
{
	return p.length ? p : (struct path){"-", 1};
}

const char *ebb_flow_line_name(const struct flow_line *line, char *buffer, size_t size)
{
	struct path head = visible(head_of(line)), tail = visible(tail_of(line));
	int skip = 0;

	if (same(head, tail)) {
		ebb_snprintf(buffer, size, "%.*s", head.length, head.s);
		return buffer;
	}
	/* The tail without the path that both share, but "layer1.3" instead of "3". */
	int shared = common(head, tail).length;
	for (int i = 0; i < shared; i++)
		if (tail.s[i] == '.')
			skip = i + 1;
	if (shared && shared < tail.length &&
		(tail.s[shared + 1] < '0' || tail.s[shared + 1] > '9'))
		skip = shared + 1;
	ebb_snprintf(buffer, size, "%.*s .. %.*s", head.length, head.s, tail.length - skip,
		tail.s + skip);
	return buffer;
}
