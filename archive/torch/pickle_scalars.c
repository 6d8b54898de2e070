/*
 * pickle_scalars.c - numbers and texts in pickles, NumPy scalars, and their conversion to text.
 */
#include <string.h>

#include "archive/torch/pickle.h"

/* ---- Numbers and texts ---------------------------------------------------------------------- */

static ebb_py *int_of(ebb_pickle *p, int64_t i)
{
	ebb_py *x = ebb_py_new(p, EBB_PY_INT);

	if (x)
		x->i = i;
	return x;
}

static ebb_py *bytes_of(ebb_pickle *p, ebb_py_kind kind)
{
	ebb_py *x = ebb_py_new(p, kind);

	if (x) {
		x->bytes = p->arg;
		x->n = (uint32_t)p->arg_n;
	}
	return x;
}

/* A two's complement number in as few bytes as possible. */
static ebb_py *long_of(ebb_pickle *p)
{
	bool negative = p->arg_n > 0 && p->arg[p->arg_n - 1] & 0x80;
	uint64_t bits;

	if (p->arg_n > 8)
		return bytes_of(p, EBB_PY_LONG);
	bits = ebb_little_endian(p->arg, (int)p->arg_n);
	if (negative && p->arg_n < 8)
		bits |= UINT64_MAX << (8 * p->arg_n);
	return int_of(p, (int64_t)bits);
}

static ebb_py *float_of_bits(ebb_pickle *p)
{
	ebb_py *x = ebb_py_new(p, EBB_PY_FLOAT);
	uint64_t bits = 0;

	for (int i = 0; i < 8; i++)
		bits = bits << 8 | p->arg[i];
	if (x)
		memcpy(&x->f, &bits, sizeof x->f);
	return x;
}

/* A decimal line; 00 and 01 are False and True in protocols 0 and 1. */
static ebb_py *decimal_of(ebb_pickle *p)
{
	bool negative = p->arg_n > 0 && p->arg[0] == '-', fits = p->arg_n > negative;
	uint64_t x = 0, most = (uint64_t)INT64_MAX + negative;

	if (p->arg_n == 2 && p->arg[0] == '0' && (p->arg[1] & ~1) == '0')
		return &p->heap->truth[p->arg[1] & 1];
	for (int64_t i = negative; fits && i < p->arg_n; i++) {
		unsigned digit = p->arg[i] - (unsigned)'0';

		fits = digit <= 9 && x <= (most - (digit <= 9 ? digit : 0)) / 10;
		x = 10 * x + digit;
	}
	if (!fits) {
		ebb_pickle_refuse(p, "has no integer of 64 bits at offset %lld",
			(long long)(p->origin + p->at));
		return NULL;
	}
	return int_of(p, negative ? (int64_t)(0 - x) : (int64_t)x);
}

ebb_py *ebb_py_constant(ebb_pickle *p, uint8_t op)
{
	switch (op) {
	case 'N':
		return &p->heap->none;
	case 0x88:
		return &p->heap->truth[1];
	case 0x89:
		return &p->heap->truth[0];
	case 'K':
	case 'M':
		return int_of(p, (int64_t)ebb_little_endian(p->arg, (int)p->arg_n));
	case 'J':
	case 0x8a:
	case 0x8b:
		return long_of(p);
	case 'I':
		return decimal_of(p);
	case 'G':
		return float_of_bits(p);
	case 'C':
	case 'B':
	case 0x8e:
		return bytes_of(p, EBB_PY_BYTES);
	default:
		return bytes_of(p, EBB_PY_TEXT);
	}
}

/* ---- NumPy scalars -------------------------------------------------------------------------- */

/* numpy.dtype("f8", False, True): a later BUILD sets the byte order. */
ebb_py *ebb_numpy_dtype(ebb_pickle *p, ebb_py *args)
{
	ebb_py *x;

	if (args->n < 1 || args->item[0]->kind != EBB_PY_TEXT)
		return NULL;
	x = ebb_py_new(p, EBB_PY_NUMPY_TYPE);
	if (x) {
		x->bytes = args->item[0]->bytes;
		x->n = args->item[0]->n;
	}
	return x;
}

/* (3, "<", None, None, None, -1, -1, 0) */
bool ebb_numpy_dtype_build(ebb_pickle *p, ebb_py *type, ebb_py *state)
{
	if (state->kind != EBB_PY_TUPLE || state->n < 2 || state->item[1]->kind != EBB_PY_TEXT)
		return ebb_pickle_refuse(p, "sets an invalid state of a numpy.dtype");
	type->meaning = ebb_py_is(state->item[1], ">");
	return true;
}

static uint64_t bits_of(const ebb_py *bytes, bool big_endian)
{
	uint64_t x = 0;

	for (uint32_t i = 0; i < bytes->n; i++)
		x = x << 8 | bytes->bytes[big_endian ? i : bytes->n - 1 - i];
	return x;
}

static double float_of(uint64_t bits, uint32_t n)
{
	uint32_t half = (uint32_t)bits;
	float single;
	double whole;

	if (n == 2)
		return ebb_convert(
			       EBB_FILE_F16, &(uint16_t){(uint16_t)half}, EBB_FILE_F64, &whole, 1),
		       whole;
	if (n == 4)
		return memcpy(&single, &half, sizeof single), single;
	return memcpy(&whole, &bits, sizeof whole), whole;
}

/* For the types "b1", "i1" to "i8", "u1" to "u8", "f2" to "f8"; other types give None. */
ebb_py *ebb_numpy_scalar(ebb_pickle *p, ebb_py *args)
{
	const ebb_py *type = args->n == 2 ? args->item[0] : NULL;
	const ebb_py *bytes = type ? args->item[1] : NULL;
	uint64_t bits;
	uint32_t size;
	char kind;
	ebb_py *x;

	if (!type || type->kind != EBB_PY_NUMPY_TYPE ||
		(bytes->kind != EBB_PY_BYTES && bytes->kind != EBB_PY_TEXT))
		return NULL;
	kind = type->n == 2 ? (char)type->bytes[0] : 0;
	size = type->n == 2 ? (uint32_t)(type->bytes[1] - '0') : 0;
	if (!kind || !strchr("biuf", kind) || (size != 1 && size != 2 && size != 4 && size != 8) ||
		(kind == 'f' && size == 1))
		return &p->heap->none;
	if (bytes->n != size)
		return NULL;
	bits = bits_of(bytes, type->meaning);
	if (kind == 'b')
		return &p->heap->truth[bits != 0];
	if (kind == 'u' && bits > INT64_MAX)
		return &p->heap->none;
	x = ebb_py_new(p, kind == 'f' ? EBB_PY_FLOAT : EBB_PY_INT);
	if (!x)
		return NULL;
	if (kind == 'f')
		x->f = float_of(bits, size);
	else if (kind == 'i' && size < 8 && bits >> (8 * size - 1))
		x->i = (int64_t)(bits | UINT64_MAX << (8 * size));
	else
		x->i = (int64_t)bits;
	return x;
}

/* ---- Conversion to text --------------------------------------------------------------------- */

int ebb_py_number(const ebb_py *x, char buffer[EBB_PY_NUMBER])
{
	switch (x->kind) {
	case EBB_PY_BOOL:
		return ebb_snprintf(buffer, EBB_PY_NUMBER, "%s", x->i ? "true" : "false");
	case EBB_PY_INT:
		return ebb_snprintf(buffer, EBB_PY_NUMBER, "%lld", (long long)x->i);
	case EBB_PY_FLOAT:
		return ebb_snprintf(buffer, EBB_PY_NUMBER, "%.17g", x->f);
	case EBB_PY_LONG:
		if (x->n != 9 || x->bytes[8] != 0)
			return -1;
		return ebb_snprintf(buffer, EBB_PY_NUMBER, "%llu",
			(unsigned long long)ebb_little_endian(x->bytes, 8));
	default:
		return -1;
	}
}
