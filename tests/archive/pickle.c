/* The interpreter of pickles: every opcode, every known global, and everything that is refused. */
#include "pickle_reading.h"

#include <stdarg.h>
#include <stdlib.h>

/* ---- A tree as text ------------------------------------------------------------------------- */

static char repr[4000];
static size_t repr_n;

static void put(const char *format, ...) EBB_PRINTF(1, 2);
static void put(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	repr_n += (size_t)vsnprintf(repr + repr_n, sizeof repr - repr_n, format, ap);
	va_end(ap);
	ck_assert_uint_lt(repr_n, sizeof repr);
}

static void put_items(const ebb_py *x);

static void put_value(const ebb_py *x)
{
	static const char *const plain[] = {[EBB_PY_NONE] = "None",
		[EBB_PY_SET] = "set",
		[EBB_PY_LONG] = "long",
		[EBB_PY_STORAGE] = "storage",
		[EBB_PY_TENSOR] = "tensor",
		[EBB_PY_NUMPY_TYPE] = "dtype",
		[EBB_PY_TUPLE] = "",
		[EBB_PY_LIST] = "",
		[EBB_PY_DICT] = ""};

	switch (x->kind) {
	case EBB_PY_BOOL:
		put(x->i ? "True" : "False");
		break;
	case EBB_PY_INT:
		put("%lld", (long long)x->i);
		break;
	case EBB_PY_FLOAT:
		put("%.17g", x->f);
		break;
	case EBB_PY_TEXT:
		put("'%.*s'", (int)x->n, (const char *)x->bytes);
		break;
	case EBB_PY_BYTES:
		put("b%u:", x->n);
		for (uint32_t i = 0; i < x->n; i++)
			put("%02x", x->bytes[i]);
		break;
	case EBB_PY_GLOBAL:
		put("<%.*s.%.*s>", (int)x->item[0]->n, (const char *)x->item[0]->bytes,
			(int)x->item[1]->n, (const char *)x->item[1]->bytes);
		break;
	default:
		put("%s", plain[x->kind]);
		if (x->kind == EBB_PY_LONG)
			put("%u", x->n);
		else if (x->kind != EBB_PY_NONE && x->kind != EBB_PY_SET &&
			 x->kind != EBB_PY_NUMPY_TYPE)
			put_items(x);
	}
}

static void put_items(const ebb_py *x)
{
	put(x->kind == EBB_PY_LIST ? "[" : x->kind == EBB_PY_DICT ? "{" : "(");
	for (uint32_t i = 0; i < x->n; i++) {
		if (i > 0)
			put(x->kind == EBB_PY_DICT && i % 2 ? ": " : ", ");
		put_value(x->item[i]);
	}
	put(x->kind == EBB_PY_LIST ? "]" : x->kind == EBB_PY_DICT ? "}" : ")");
}

static const char *repr_of(const ebb_py *x)
{
	repr_n = 0;
	repr[0] = '\0';
	put_value(x);
	return repr;
}

/* ---- What is accepted ----------------------------------------------------------------------- */

#define SAYS_STORAGE "storage('storage', <torch.FloatStorage>, '0', 'cpu', 6)"
#define SAYS_TENSOR "tensor(" SAYS_STORAGE ", 0, (2, 3), (3, 1), False, {})"

static const pickled accepted[] = {
	PICKLE("N.", "None"),
	PICKLE("\x80\2N.", "None"),
	PICKLE("\x80\5\x95\2\0\0\0\0\0\0\0\x88.", "True"),
	PICKLE("\x89.", "False"),
	PICKLE("K\xff.", "255"),
	PICKLE("M\1\2.", "513"),
	PICKLE("J\xff\xff\xff\xff.", "-1"),
	PICKLE("J\xff\xff\xff\x7f.", "2147483647"),
	PICKLE("\x8a\0.", "0"),
	PICKLE("\x8a\1\x80.", "-128"),
	PICKLE("\x8a\2\x80\0.", "128"),
	PICKLE("\x8a\x08\0\0\0\0\0\0\0\x80.", "-9223372036854775808"),
	PICKLE("\x8a\x09\0\0\0\0\0\0\0\x80\0.", "long9"),
	PICKLE("\x8b\3\0\0\0\1\0\0.", "1"),
	PICKLE("I4294967296\n.", "4294967296"),
	PICKLE("I-9223372036854775808\n.", "-9223372036854775808"),
	PICKLE("I9223372036854775807\n.", "9223372036854775807"),
	PICKLE("I01\n.", "True"),
	PICKLE("I00\n.", "False"),
	PICKLE("I0\n.", "0"),
	PICKLE("G\x3f\xb9\x99\x99\x99\x99\x99\x9a.", "0.10000000000000001"),
	PICKLE("G\xff\xf0\0\0\0\0\0\0.", "-inf"),
	PICKLE("X\3\0\0\0abc.", "'abc'"),
	PICKLE("X\0\0\0\0.", "''"),
	PICKLE("\x8c\2ab.", "'ab'"),
	PICKLE("\x8d\2\0\0\0\0\0\0\0ab.", "'ab'"),
	PICKLE("U\2ab.", "'ab'"),
	PICKLE("T\2\0\0\0ab.", "'ab'"),
	PICKLE("C\2\0\xff.", "b2:00ff"),
	PICKLE("B\1\0\0\0a.", "b1:61"),
	PICKLE("\x8e\1\0\0\0\0\0\0\0a.", "b1:61"),
	PICKLE(").", "()"),
	PICKLE("K\1\x85.", "(1)"),
	PICKLE("K\1K\2\x86.", "(1, 2)"),
	PICKLE("K\1K\2K\3\x87.", "(1, 2, 3)"),
	PICKLE("(t.", "()"),
	PICKLE("(K\1K\2K\3K\4t.", "(1, 2, 3, 4)"),
	PICKLE("].", "[]"),
	PICKLE("]K\1a.", "[1]"),
	PICKLE("](K\1K\2K\3K\4K\5e.", "[1, 2, 3, 4, 5]"),
	PICKLE("](e.", "[]"),
	PICKLE("}.", "{}"),
	PICKLE("}X\1\0\0\0aK\1s.", "{'a': 1}"),
	PICKLE("}(X\1\0\0\0aK\1K\2Nu.", "{'a': 1, 2: None}"),
	PICKLE("\x8f.", "set"),
	PICKLE("\x8f(K\1\x90.", "set"),
	PICKLE("(K\1\x91.", "set"),
	PICKLE("NK\1"
	       "0.",
		"None"),
	PICKLE("N(K\1K\2"
	       "1.",
		"None"),
	PICKLE("(]q\0h\0t.", "([], [])"),
	PICKLE("]q\0K\1ah\0\x86.", "([1], [1])"),
	PICKLE("K\7r\xff\xff\xff\xff"
	       "0j\xff\xff\xff\xff.",
		"7"),
	PICKLE("(K\1\x94K\2\x94h\0h\1t\x94h\2\x86.", "((1, 2, 1, 2), (1, 2, 1, 2))"),
	/* An index that is written again counts once. */
	PICKLE("(K\1q\0K\2q\0K\3\x94h\1h\0t.", "(1, 2, 3, 3, 2)"),
	PICKLE("cos\nsystem\n.", "<os.system>"),
	PICKLE("\x8c\2os\x8c\6system\x93.", "<os.system>"),
	PICKLE(ORDERED ".", "{}"),
	PICKLE("ccollections\nOrderedDict\n](]X\1\0\0\0aaK\1a]X\1\0\0\0baK\2ae\x85R.",
		"{'a': 1, 'b': 2}"),
	PICKLE("ccollections\nOrderedDict\n)\x81.", "{}"),
	PICKLE(ORDERED "}X\1\0\0\0aK\1sb.", "{}"),
	PICKLE("ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R.", "{}"),
	PICKLE("ccollections\nCounter\n}K\5K\1s\x85R.", "{5: 1}"),
	PICKLE("cargparse\nNamespace\n)\x81}X\2\0\0\0lrK\1sb.", "{'lr': 1}"),
	PICKLE("c__builtin__\nset\n]K\1a\x85R.", "set"),
	PICKLE("ctorch\nSize\nK\2K\3\x86\x85R.", "(2, 3)"),
	PICKLE("ctorch\nSize\n)R.", "()"),
	PICKLE("ctorch\ndevice\nX\3\0\0\0cpu\x85R.", "'cpu'"),
	PICKLE("ctorch\ndevice\nX\4\0\0\0cudaK\1\x86R.", "'cuda:1'"),
	PICKLE("ctorch.serialization\n_get_layout\nX\1\0\0\0x\x85R.", "'x'"),
	PICKLE(STORAGE ".", SAYS_STORAGE),
	PICKLE("(X\7\0\0\0storagectorch\nLongStorage\nU\1kU\3cpuK\1NtQ.",
		"storage('storage', <torch.LongStorage>, 'k', 'cpu', 1, None)"),
	PICKLE(TENSOR ".", SAYS_TENSOR),
	PICKLE("ctorch._utils\n_rebuild_tensor\n(" STORAGE "K\0))tR.",
		"tensor(" SAYS_STORAGE ", 0, (), ())"),
	PICKLE("ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE "K\0))\x89}ctorch\nuint16\ntR.",
		"tensor(" SAYS_STORAGE ", 0, (), (), False, {}, <torch.uint16>)"),
	PICKLE("ctorch._utils\n_rebuild_parameter\n" TENSOR "\x88" ORDERED "\x87R.", SAYS_TENSOR),
	PICKLE("ctorch._utils\n_rebuild_parameter_with_state\n(" TENSOR "\x88" ORDERED "}tR.",
		SAYS_TENSOR),
	PICKLE("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_"
	       "tensor\nctorch\nTensor\n(" STORAGE "K\0))t}tR.",
		"tensor(" SAYS_STORAGE ", 0, (), ())"),
	PICKLE("ctorch._utils\n_rebuild_sparse_tensor\nX\1\0\0\0x)\x86R.", "tensor('x', ())"),
	PICKLE("c_codecs\nencode\nX\6\0\0\0a\xc2\x80z\xc3\xbfX\6\0\0\0latin1\x86R.", "b4:61807aff"),
	PICKLE("cnumpy\ndtype\nX\2\0\0\0f8\x85R.", "dtype"),
};

static const pickled numpy[] = {
	PICKLE(SCALAR("f8", "<", "\x08\0\0\0\0\0\0\xf0\x3f"), "1"),
	PICKLE(SCALAR("f8", ">", "\x08\x3f\xf0\0\0\0\0\0\0"), "1"),
	PICKLE(SCALAR("f4", "<", "\4\0\0\0\xc0"), "-2"),
	PICKLE(SCALAR("f2", "<", "\2\0\x3c"), "1"),
	PICKLE(SCALAR("i1", "|", "\1\xfe"), "-2"),
	PICKLE(SCALAR("i2", ">", "\2\xff\xfe"), "-2"),
	PICKLE(SCALAR("i8", "<", "\x08\xff\xff\xff\xff\xff\xff\xff\xff"), "-1"),
	PICKLE(SCALAR("u4", "<", "\4\xff\xff\xff\xff"), "4294967295"),
	PICKLE(SCALAR("u8", "<", "\x08\xff\xff\xff\xff\xff\xff\xff\xff"), "None"),
	PICKLE(SCALAR("b1", "|", "\1\1"), "True"),
	PICKLE(SCALAR("M8", "<", "\x08\xff\xff\xff\xff\xff\xff\xff\xff"), "None"),
};

static void check_accepted(const pickled *x)
{
	reading r;

	begin(&r, x->bytes, x->n);
	ck_assert_msg(r.root != NULL, "%s", r.e.message);
	ck_assert_str_eq(repr_of(r.root), x->says);
	end(&r);
}

enum { ACCEPTED = sizeof accepted / sizeof *accepted, NUMPY = sizeof numpy / sizeof *numpy };

START_TEST(pickles_of_torch_save_are_read)
{
	check_accepted(&accepted[_i]);
}
END_TEST

START_TEST(numpy_scalars_are_numbers)
{
	check_accepted(&numpy[_i]);
}
END_TEST

/* Marks the opcodes of a pickle in seen. */
static void see(const pickled *x, bool seen[256])
{
	for (size_t at = 0; at < x->n;) {
		uint8_t op = (uint8_t)x->bytes[at++];
		int argument = ebb_opcode_argument(op);
		const uint8_t *arg = (const uint8_t *)x->bytes + at;

		seen[op] = true;
		if (argument >= 0)
			at += (size_t)argument;
		else if (argument >= EBB_ARG_COUNT8)
			at += (size_t)-argument + (size_t)ebb_little_endian(arg, -argument);
		else
			for (int lines = argument == EBB_ARG_LINE ? 1 : 2; lines > 0; at++)
				lines -= x->bytes[at] == '\n';
	}
}

START_TEST(every_accepted_opcode_is_in_a_test)
{
	bool seen[256] = {false};

	for (size_t i = 0; i < ACCEPTED; i++)
		see(&accepted[i], seen);
	for (int op = 0; op < 256; op++)
		ck_assert_msg(seen[op] == (ebb_opcode_argument((uint8_t)op) != EBB_ARG_REFUSED),
			"opcode 0x%02x", op);
}
END_TEST

/* ---- What is refused ------------------------------------------------------------------------ */

static const pickled refused[] = {
	PICKLE("", "data.pkl is truncated"),
	PICKLE("N", "data.pkl is truncated: its 1 bytes have no STOP opcode"),
	PICKLE(".", "ends with 0 values and 0 marks"),
	PICKLE("NN.", "ends with 2 values and 0 marks"),
	PICKLE("N(.", "ends with 1 values and 1 marks"),
	PICKLE("N.N", "has 1 bytes after its end"),
	PICKLE("\x80\1N.", "has protocol 1, expected 2 to 5"),
	PICKLE("\x80\6N.", "has protocol 6, expected 2 to 5"),
	PICKLE("\x95\3\0\0\0\0\0\0\0N.", "has a frame of 3 bytes at offset 0, where 2 are left"),
	PICKLE("\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
		"has a frame of 18446744073709551615 bytes"),
	PICKLE("J\0\0\0", "is truncated: it ends within the opcode at offset 0"),
	PICKLE("X\xff\xff\xff\x7fN.", "is truncated: it ends within the opcode at offset 0"),
	PICKLE("X\xff\xff\xff\xffN.", "is truncated"),
	PICKLE("N\x8d\xff\xff\xff\xff\xff\xff\xff\xffN.", "it ends within the opcode at offset 1"),
	PICKLE("\x8d\0\0\0", "is truncated"),
	PICKLE("cos\nsystem", "is truncated"),
	PICKLE("cos", "is truncated"),
	PICKLE("c", "is truncated"),
	PICKLE("I12", "is truncated"),
	PICKLE("I9223372036854775808\n.", "has no integer of 64 bits at offset 0"),
	PICKLE("I-9223372036854775809\n.", "has no integer of 64 bits"),
	PICKLE("I99999999999999999999999999\n.", "has no integer of 64 bits"),
	PICKLE("I\n.", "has no integer of 64 bits"),
	PICKLE("I-\n.", "has no integer of 64 bits"),
	PICKLE("I1x\n.", "has no integer of 64 bits"),
	PICKLE("\xffN.", "has the unknown opcode 0xff at offset 0"),
	PICKLE("N\0.", "has the unknown opcode 0x00 at offset 1"),
	PICKLE("\x82\1.", "the opcode EXT1 at offset 0"),
	PICKLE("\x83\1\1.", "the opcode EXT2"),
	PICKLE("\x84\1\1\1\1.", "the opcode EXT4"),
	PICKLE("P1\n.", "the opcode PERSID"),
	PICKLE("(ios\nsystem\n.", "the opcode INST at offset 1"),
	PICKLE("(cos\nsystem\no.", "the opcode OBJ"),
	PICKLE("cos\nsystem\n)}\x92.", "the opcode NEWOBJ_EX"),
	PICKLE("F1.5\n.", "the opcode FLOAT"),
	PICKLE("L1L\n.", "the opcode LONG"),
	PICKLE("S'a'\n.", "the opcode STRING"),
	PICKLE("Va\n.", "the opcode UNICODE"),
	PICKLE("g0\n.", "the opcode GET"),
	PICKLE("p0\n.", "the opcode PUT"),
	PICKLE("(d.", "the opcode DICT"),
	PICKLE("(l.", "the opcode LIST"),
	PICKLE("N2.", "the opcode DUP"),
	PICKLE("\x96\0\0\0\0\0\0\0\0.", "the opcode BYTEARRAY8"),
	PICKLE("\x97.", "the opcode NEXT_BUFFER"),
	PICKLE("\x98.", "the opcode READONLY_BUFFER"),
	PICKLE("0.", "takes 1 values at offset 0 from a stack of 0"),
	PICKLE("N(0.", "takes 1 values at offset 2 from a stack of 0"),
	PICKLE("N\x86.", "takes 2 values"),
	PICKLE("]a.", "takes 2 values"),
	PICKLE("}Ns.", "takes 3 values"),
	PICKLE("NR.", "takes 2 values"),
	PICKLE("Q.", "takes 1 values"),
	PICKLE("q\0.", "takes 1 values"),
	PICKLE("\x94.", "takes 1 values"),
	PICKLE("(e.", "takes 1 values"),
	PICKLE("t.", "has no mark before offset 0"),
	PICKLE("1.", "has no mark before offset 0"),
	PICKLE("Ne.", "has no mark"),
	PICKLE("h\0.", "reads at offset 0 memo entry 0, which it has not written"),
	PICKLE("Nq\0h\1.", "memo entry 1,"),
	PICKLE("Nq\0j\0\0\0\1.", "memo entry 16777216,"),
	PICKLE("}K\1a.", "cannot add 1 values at offset 3 to a list"),
	PICKLE("](K\1u.", " to a dict"),
	PICKLE("}(K\1u.", "cannot add 1 values at offset 4 to a dict"),
	PICKLE("](K\1\x90.", " to a set"),
	PICKLE(")K\1a.", " to a list"),
	PICKLE("NK\1\x93.", "has a global at offset 3 whose name is not text"),
	PICKLE("cos\nsystem\nX\4\0\0\0true\x85R.",
		"data.pkl calls os.system: refused, nothing was executed"),
	PICKLE("\x8c\2os\x8c\6system\x93\x8c\4true\x85R.", "data.pkl calls os.system: refused"),
	PICKLE("cbuiltins\neval\nX\1\0\0\0"
	       "1\x85R.",
		"calls builtins.eval: refused"),
	PICKLE("c\33[31m\nx\n)R.", "calls ?[31m.x: refused"),
	PICKLE("K\1)R.", "calls an int: refused"),
	PICKLE(ORDERED ")R.", "calls a dict: refused"),
	PICKLE(STORAGE ")R.", "calls a storage: refused"),
	PICKLE("ctorch\nfloat32\n)R.", "calls torch.float32: refused"),
	PICKLE("ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage: refused"),
	PICKLE("c__main__\nNet\n)\x81.",
		"makes an object of class __main__.Net: refused, nothing was executed"),
	PICKLE("ctorch.nn.modules.linear\nLinear\n)\x81.", "torch.save(model.state_dict(), path)"),
	PICKLE("(X\6\0\0\0modulec__main__\nNet\nNNtQ.", "makes an object of class __main__.Net"),
	PICKLE("N)\x81.", "makes an object of class None"),
	PICKLE("cargparse\nNamespace\n]\x81.", "makes an object of class argparse.Namespace"),
	PICKLE("cos\nsystem\n}b.", "sets the state of os.system: refused"),
	PICKLE("}}b.", "sets the state of a dict: refused"),
	PICKLE("N}b.", "sets the state of None: refused"),
	PICKLE(TENSOR "}b.", "sets the state of a tensor: refused"),
	PICKLE("cargparse\nNamespace\n)\x81)b.", "sets the state of a dict: refused"),
	PICKLE("cargparse\nNamespace\n)\x81q\0h\0b.", "sets the state of a dict: refused"),
	PICKLE("cnumpy\ndtype\nX\2\0\0\0f8\x85R}b.", "sets an invalid state of a numpy.dtype"),
	PICKLE("ccollections\nOrderedDict\n]R.", "calls collections.OrderedDict with arguments"),
	PICKLE("ccollections\nOrderedDict\nN\x85R.",
		"calls collections.OrderedDict with arguments"),
	PICKLE("ccollections\nOrderedDict\n]Na\x85R.",
		"calls collections.OrderedDict with arguments"),
	PICKLE("ccollections\nOrderedDict\n])a\x85R.",
		"calls collections.OrderedDict with arguments"),
	PICKLE("ccollections\nCounter\nN\x85R.", "calls collections.Counter with arguments"),
	PICKLE("ccollections\ndefaultdict\nNN\x86R.",
		"calls collections.defaultdict with arguments"),
	PICKLE("ctorch\nSize\nN\x85R.", "calls torch.Size with arguments"),
	PICKLE("ctorch\ndevice\n)R.", "calls torch.device with arguments"),
	PICKLE("ctorch\ndevice\nX\1\0\0\0xN\x86R.", "calls torch.device with arguments"),
	PICKLE("ctorch._utils\n_rebuild_tensor_v2\n)R.",
		"calls torch._utils._rebuild_tensor_v2 with arguments"),
	PICKLE("ctorch._utils\n_rebuild_tensor_v3\n)R.", "_rebuild_tensor_v3 with arguments"),
	PICKLE("ctorch._utils\n_rebuild_parameter\n)R.", "_rebuild_parameter with arguments"),
	PICKLE("ctorch._utils\n_rebuild_parameter\nN\x85R.", "_rebuild_parameter with arguments"),
	PICKLE("ctorch._tensor\n_rebuild_from_type_v2\n)R.",
		"_rebuild_from_type_v2 with arguments"),
	PICKLE("ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n)}tR.",
		"calls os.system: refused"),
	PICKLE("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_"
	       "tensor\ncos\nsystem\n)}tR.",
		"makes an object of class os.system"),
	PICKLE("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_"
	       "tensor\nctorch\nTensor\n]}tR.",
		"_rebuild_from_type_v2 with arguments"),
	PICKLE("c_codecs\nencode\nX\1\0\0\0xX\5\0\0\0utf-8\x86R.",
		"calls _codecs.encode with arguments"),
	PICKLE("c_codecs\nencode\nX\2\0\0\0\xc4\x80X\6\0\0\0latin1\x86R.",
		"calls _codecs.encode with arguments"),
	PICKLE("c_codecs\nencode\nX\1\0\0\0\xc3X\6\0\0\0latin1\x86R.",
		"calls _codecs.encode with arguments"),
	PICKLE("cnumpy\ndtype\n)R.", "calls numpy.dtype with arguments"),
	PICKLE("cnumpy.core.multiarray\nscalar\nNN\x86R.",
		"calls numpy.core.multiarray.scalar with arguments"),
	PICKLE(SCALAR("f8", "<", "\4\0\0\0\0"),
		"calls numpy.core.multiarray.scalar with arguments"),
	PICKLE("NQ.", "refers at offset 1 to an object that is not a storage"),
	PICKLE("X\1\0\0\0"
	       "0Q.",
		"to an object that is not a storage"),
	PICKLE(")Q.", "to an object that is not a storage"),
	PICKLE("X\7\0\0\0storage\x85Q.", "to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloat\nX\1\0\0\0"
	       "0NK\6tQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storageNX\1\0\0\0"
	       "0NK\6tQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nK\0NK\6tQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
	       "0NJ\xff\xff\xff\xfftQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
	       "0NGAAAAAAAAtQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
	       "0NK\6K\1tQ.",
		"to an object that is not a storage"),
	PICKLE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
	       "0NK\6)tQ.",
		"to an object that is not a storage"),
};

enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(everything_else_is_refused_by_name)
{
	const pickled *x = &refused[_i];
	reading r;

	begin(&r, x->bytes, x->n);
	ck_assert_msg(r.root == NULL, "accepted, expected: %s", x->says);
	ck_assert_int_eq(r.e.status, EBB_BAD_FILE);
	ck_assert_msg(strncmp(r.e.message, "FILE: data.pkl ", 15) == 0, "%s", r.e.message);
	ck_assert_msg(strstr(r.e.message, x->says), "%s: expected %s", r.e.message, x->says);
	end(&r);
}
END_TEST

/* ---- The end of a pickle -------------------------------------------------------------------- */

static int64_t measure(const void *bytes, size_t n, int64_t at, int64_t most, ebb_error *e)
{
	ebb_archive *a = ebb_archive_of_file("FILE", 0, 0, e);
	ebb_input *in = ebb_input_open(write_temp("pickles", bytes, n), e);
	int64_t size;

	ck_assert(a && in);
	size = ebb_pickle_measure(a, in, "the pickle", at, most, e);
	ebb_input_close(in);
	ebb_archive_free(a);
	return size;
}

START_TEST(the_end_of_a_pickle_is_found_without_reading_it)
{
	for (size_t i = 0; i < ACCEPTED; i++) {
		char bytes[5000];
		ebb_error e = {0};

		/* The shift moves arguments across the end of the read buffer. */
		for (size_t shift = 4096 - 80; shift <= 4096; shift += 5) {
			memset(bytes, 'N', sizeof bytes);
			memcpy(bytes + shift, accepted[i].bytes, accepted[i].n);
			ck_assert_int_eq(measure(bytes, sizeof bytes, 0, 5000, &e),
				(int64_t)(shift + accepted[i].n));
			ck_assert_int_eq(measure(bytes, sizeof bytes, (int64_t)shift, 5000, &e),
				(int64_t)accepted[i].n);
		}
		ck_assert_int_eq(e.status, EBB_OK);
	}
}
END_TEST

START_TEST(a_pickle_without_an_end_in_the_file_is_refused)
{
	static const pickled cases[] = {
		PICKLE("NNN", "has no end in the file's 3 bytes"),
		PICKLE("", "has no end"),
		PICKLE("X\xff\xff\xff\xffN.", "has no end"),
		PICKLE("\x8d\xff\xff\xff\xff\xff\xff\xff\xffN.", "has no end"),
		PICKLE("X\4\0", "has no end"),
		PICKLE("cos\nsystem", "has no end"),
		PICKLE("J\0", "has no end"),
		PICKLE("NN\xff.", "has the unknown opcode 0xff at offset 2"),
		PICKLE("NNNNNNNNNNN.", "has more than the 10 bytes that headers may have"),
		PICKLE("X\x06\0\0\0abcdef.", "has more than the 10 bytes that headers may have"),
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_error e = {0};

		ck_assert_int_eq(measure(cases[i].bytes, cases[i].n, 0, 10, &e), -1);
		ck_assert_msg(strstr(e.message, cases[i].says), "%s", e.message);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("archive-pickle");
	TCase *t = tcase_create("pickle");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, pickles_of_torch_save_are_read, 0, ACCEPTED);
	tcase_add_loop_test(t, numpy_scalars_are_numbers, 0, NUMPY);
	tcase_add_test(t, every_accepted_opcode_is_in_a_test);
	tcase_add_loop_test(t, everything_else_is_refused_by_name, 0, REFUSED);
	suite_add_tcase(s, t);
	t = tcase_create("measure");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, make_temp_dir, remove_temp_dir);
	tcase_add_test(t, the_end_of_a_pickle_is_found_without_reading_it);
	tcase_add_test(t, a_pickle_without_an_end_in_the_file_is_refused);
	suite_add_tcase(s, t);
	return run_suite(s);
}
