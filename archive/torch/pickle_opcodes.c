/*
 * pickle_opcodes.c - the opcodes of pickles: which are accepted, their arguments, and the end of a
 * pickle.
 */
#include <string.h>

#include "archive/torch/pickle.h"

int ebb_opcode_argument(uint8_t op)
{
	switch (op) {
	case '(':  /* MARK */
	case ')':  /* EMPTY_TUPLE */
	case '.':  /* STOP */
	case '0':  /* POP */
	case '1':  /* POP_MARK */
	case 'N':  /* NONE */
	case 'Q':  /* BINPERSID */
	case 'R':  /* REDUCE */
	case ']':  /* EMPTY_LIST */
	case 'a':  /* APPEND */
	case 'b':  /* BUILD */
	case 'e':  /* APPENDS */
	case 's':  /* SETITEM */
	case 't':  /* TUPLE */
	case 'u':  /* SETITEMS */
	case '}':  /* EMPTY_DICT */
	case 0x81: /* NEWOBJ */
	case 0x85: /* TUPLE1 */
	case 0x86: /* TUPLE2 */
	case 0x87: /* TUPLE3 */
	case 0x88: /* NEWTRUE */
	case 0x89: /* NEWFALSE */
	case 0x8f: /* EMPTY_SET */
	case 0x90: /* ADDITEMS */
	case 0x91: /* FROZENSET */
	case 0x93: /* STACK_GLOBAL */
	case 0x94: /* MEMOIZE */
		return 0;
	case 'K':  /* BININT1 */
	case 'h':  /* BINGET */
	case 'q':  /* BINPUT */
	case 0x80: /* PROTO */
		return 1;
	case 'M': /* BININT2 */
		return 2;
	case 'J': /* BININT */
	case 'j': /* LONG_BINGET */
	case 'r': /* LONG_BINPUT */
		return 4;
	case 'G':  /* BINFLOAT */
	case 0x95: /* FRAME */
		return 8;
	case 'C':  /* SHORT_BINBYTES */
	case 'U':  /* SHORT_BINSTRING */
	case 0x8a: /* LONG1 */
	case 0x8c: /* SHORT_BINUNICODE */
		return EBB_ARG_COUNT1;
	case 'B':  /* BINBYTES */
	case 'T':  /* BINSTRING */
	case 'X':  /* BINUNICODE */
	case 0x8b: /* LONG4 */
		return EBB_ARG_COUNT4;
	case 0x8d: /* BINUNICODE8 */
	case 0x8e: /* BINBYTES8 */
		return EBB_ARG_COUNT8;
	case 'I': /* INT: Python 2 writes it for integers of more than 32 bits */
		return EBB_ARG_LINE;
	case 'c': /* GLOBAL */
		return EBB_ARG_LINES;
	default:
		return EBB_ARG_REFUSED;
	}
}

bool ebb_opcode_refuse(
	const ebb_archive *a, const char *what, uint8_t op, int64_t offset, ebb_error *e)
{
	static const struct {
		uint8_t op;
		const char *name;
	} known[] = {
		{0x82, "EXT1"},
		{0x83, "EXT2"},
		{0x84, "EXT4"},
		{'P', "PERSID"},
		{'i', "INST"},
		{'o', "OBJ"},
		{0x92, "NEWOBJ_EX"},
		{'F', "FLOAT"},
		{'L', "LONG"},
		{'S', "STRING"},
		{'V', "UNICODE"},
		{'g', "GET"},
		{'p', "PUT"},
		{'d', "DICT"},
		{'l', "LIST"},
		{'2', "DUP"},
		{0x96, "BYTEARRAY8"},
		{0x97, "NEXT_BUFFER"},
		{0x98, "READONLY_BUFFER"},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].op == op)
			return ebb_archive_refuse(a, e,
				"%s has the opcode %s at offset %lld: refused, no tensor needs it",
				what, known[i].name, (long long)offset);
	return ebb_archive_refuse(a, e, "%s has the unknown opcode 0x%02x at offset %lld", what, op,
		(long long)offset);
}

uint64_t ebb_little_endian(const uint8_t *bytes, int n)
{
	uint64_t x = 0;

	for (int i = 0; i < n; i++)
		x |= (uint64_t)bytes[i] << (8 * i);
	return x;
}

/* ---- Finding the end of a pickle ------------------------------------------------------------ */

/* A buffered part of a file, because a pickle does not declare its length. */
typedef struct window {
	ebb_archive *a;
	const ebb_input *in;
	const char *what;
	ebb_error *e;
	int64_t start, at, most;
	int64_t base, have;
	uint8_t bytes[4096];
} window;

static bool truncated(window *w)
{
	return ebb_archive_refuse(w->a, w->e,
		"%s at offset %lld has no end in the file's %lld bytes", w->what,
		(long long)w->start, (long long)w->in->size);
}

/* Reads the next byte. */
static bool byte_of(window *w, uint8_t *byte)
{
	if (w->at >= w->in->size)
		return truncated(w);
	if (w->at - w->start >= w->most)
		return ebb_archive_refuse(w->a, w->e,
			"%s at offset %lld has more than the %lld bytes that headers may have",
			w->what, (long long)w->start, (long long)w->most);
	if (w->at < w->base || w->at >= w->base + w->have) {
		int64_t n = w->in->size - w->at;

		n = n < (int64_t)sizeof w->bytes ? n : (int64_t)sizeof w->bytes;
		w->have = 0;
		if (!ebb_input_read(w->in, w->at, w->bytes, n, w->what, w->e))
			return false;
		w->base = w->at;
		w->have = n;
	}
	*byte = w->bytes[w->at++ - w->base];
	return true;
}

/* Skips a count of width bytes, and the bytes that it counts. */
static bool pass_counted(window *w, int width)
{
	uint8_t count[8];
	uint64_t n;

	for (int i = 0; i < width; i++)
		if (!byte_of(w, &count[i]))
			return false;
	n = ebb_little_endian(count, width);
	if (n > (uint64_t)(w->in->size - w->at))
		return truncated(w);
	w->at += (int64_t)n;
	return true;
}

static bool pass_lines(window *w, int n)
{
	uint8_t byte = 0;

	while (n > 0) {
		if (!byte_of(w, &byte))
			return false;
		n -= byte == '\n';
	}
	return true;
}

static bool pass_argument(window *w, uint8_t op)
{
	int argument = ebb_opcode_argument(op);

	if (argument == EBB_ARG_REFUSED)
		return ebb_opcode_refuse(w->a, w->what, op, w->at - 1, w->e);
	if (argument == EBB_ARG_LINE || argument == EBB_ARG_LINES)
		return pass_lines(w, argument == EBB_ARG_LINE ? 1 : 2);
	if (argument < 0)
		return pass_counted(w, -argument);
	w->at += argument;
	return true;
}

int64_t ebb_pickle_measure(ebb_archive *a, const ebb_input *in, const char *what, int64_t at,
	int64_t most, ebb_error *e)
{
	window w = {.a = a, .in = in, .what = what, .e = e, .start = at, .at = at, .most = most};
	uint8_t op = 0;

	do {
		if (!byte_of(&w, &op) || !pass_argument(&w, op))
			return -1;
	} while (op != '.');
	return w.at - w.start;
}
