/*
 * pickle_globals.c - the list of Python names that a pickle may use, and the results of calling
 * them.
 */
#include <string.h>

#include "archive/torch/pickle.h"

/* ---- The list ------------------------------------------------------------------------------- */

#define STORAGE(name, dtype, size)                                                                 \
	{"torch", name, EBB_PY_STORAGE_TYPE, EBB_FILE_##dtype, NULL, size},                        \
	{                                                                                          \
		"torch.cuda", name, EBB_PY_STORAGE_TYPE, EBB_FILE_##dtype, NULL, size              \
	}
#define OTHER_STORAGE(name, other, size)                                                           \
	{                                                                                          \
		"torch", name, EBB_PY_STORAGE_TYPE, EBB_FILE_OTHER, other, size                    \
	}
#define DTYPE(name, dtype)                                                                         \
	{                                                                                          \
		"torch", name, EBB_PY_DTYPE, EBB_FILE_##dtype, NULL, 0                             \
	}
#define OTHER_DTYPE(name)                                                                          \
	{                                                                                          \
		"torch", name, EBB_PY_DTYPE, EBB_FILE_OTHER, name, 0                               \
	}
#define CALL(module, name, meaning)                                                                \
	{                                                                                          \
		module, name, EBB_PY_##meaning, EBB_FILE_DEFAULT, NULL, 0                          \
	}

static const ebb_py_name names[] = {
	CALL("collections", "OrderedDict", ORDERED_DICT),
	CALL("collections", "defaultdict", DEFAULT_DICT),
	CALL("collections", "Counter", COUNTER),
	CALL("argparse", "Namespace", NAMESPACE),
	CALL("builtins", "set", SET_TYPE),
	CALL("__builtin__", "set", SET_TYPE),
	CALL("torch", "Size", SIZE),
	CALL("torch", "device", DEVICE),
	CALL("torch.serialization", "_get_layout", LAYOUT),
	CALL("torch._utils", "_rebuild_tensor", REBUILD),
	CALL("torch._utils", "_rebuild_tensor_v2", REBUILD_2),
	CALL("torch._utils", "_rebuild_tensor_v3", REBUILD_3),
	CALL("torch._utils", "_rebuild_qtensor", REBUILD_QUANTIZED),
	CALL("torch._utils", "_rebuild_sparse_tensor", REBUILD_SPARSE),
	CALL("torch._utils", "_rebuild_sparse_csr_tensor", REBUILD_SPARSE),
	CALL("torch._utils", "_rebuild_meta_tensor_no_storage", REBUILD_META),
	CALL("torch._utils", "_rebuild_parameter", REBUILD_PARAMETER),
	CALL("torch._utils", "_rebuild_parameter_with_state", REBUILD_PARAMETER),
	CALL("torch._tensor", "_rebuild_from_type", REBUILD_TYPE),
	CALL("torch._tensor", "_rebuild_from_type_v2", REBUILD_TYPE),
	CALL("torch.tensor", "_rebuild_from_type", REBUILD_TYPE),
	CALL("torch", "Tensor", TENSOR_TYPE),
	CALL("torch._tensor", "Tensor", TENSOR_TYPE),
	CALL("torch.nn", "Parameter", TENSOR_TYPE),
	CALL("torch.nn.parameter", "Parameter", TENSOR_TYPE),
	CALL("torch.nn.parameter", "Buffer", TENSOR_TYPE),
	CALL("numpy", "dtype", NUMPY_DTYPE),
	CALL("numpy.core.multiarray", "scalar", NUMPY_SCALAR),
	CALL("numpy._core.multiarray", "scalar", NUMPY_SCALAR),
	CALL("_codecs", "encode", ENCODE),
	STORAGE("BoolStorage", BOOL, 1),
	STORAGE("ByteStorage", U8, 1),
	STORAGE("CharStorage", I8, 1),
	STORAGE("ShortStorage", I16, 2),
	STORAGE("IntStorage", I32, 4),
	STORAGE("LongStorage", I64, 8),
	STORAGE("HalfStorage", F16, 2),
	STORAGE("BFloat16Storage", BF16, 2),
	STORAGE("FloatStorage", F32, 4),
	STORAGE("DoubleStorage", F64, 8),
	OTHER_STORAGE("ComplexFloatStorage", "complex64", 8),
	OTHER_STORAGE("ComplexDoubleStorage", "complex128", 16),
	OTHER_STORAGE("QInt8Storage", "qint8", 1),
	OTHER_STORAGE("QUInt8Storage", "quint8", 1),
	OTHER_STORAGE("QInt32Storage", "qint32", 4),
	OTHER_STORAGE("QUInt4x2Storage", "quint4x2", 1),
	OTHER_STORAGE("QUInt2x4Storage", "quint2x4", 1),
	{"torch", "UntypedStorage", EBB_PY_STORAGE_TYPE, EBB_FILE_U8, NULL, 1},
	{"torch.storage", "UntypedStorage", EBB_PY_STORAGE_TYPE, EBB_FILE_U8, NULL, 1},
	{"torch.storage", "_UntypedStorage", EBB_PY_STORAGE_TYPE, EBB_FILE_U8, NULL, 1},
	DTYPE("bool", BOOL),
	DTYPE("uint8", U8),
	DTYPE("int8", I8),
	DTYPE("uint16", U16),
	DTYPE("int16", I16),
	DTYPE("uint32", U32),
	DTYPE("int32", I32),
	DTYPE("uint64", U64),
	DTYPE("int64", I64),
	DTYPE("float8_e4m3fn", F8_E4M3),
	DTYPE("float8_e5m2", F8_E5M2),
	DTYPE("float16", F16),
	DTYPE("bfloat16", BF16),
	DTYPE("float32", F32),
	DTYPE("float64", F64),
	OTHER_DTYPE("complex32"),
	OTHER_DTYPE("complex64"),
	OTHER_DTYPE("complex128"),
	OTHER_DTYPE("float8_e4m3fnuz"),
	OTHER_DTYPE("float8_e5m2fnuz"),
	OTHER_DTYPE("float8_e8m0fnu"),
	OTHER_DTYPE("float4_e2m1fn_x2"),
	OTHER_DTYPE("qint8"),
	OTHER_DTYPE("quint8"),
	OTHER_DTYPE("qint32"),
	OTHER_DTYPE("bits8"),
	OTHER_DTYPE("bits16"),
};

enum { NAMES = sizeof names / sizeof *names };

const ebb_py_name *ebb_py_named(const ebb_py *x)
{
	return x->kind == EBB_PY_GLOBAL && x->meaning < NAMES ? &names[x->meaning] : NULL;
}

ebb_py_meaning ebb_py_means(const ebb_py *x)
{
	const ebb_py_name *name = ebb_py_named(x);

	return name ? name->meaning : EBB_PY_NOTHING;
}

ebb_py *ebb_py_global(ebb_pickle *p, ebb_py *module, ebb_py *name)
{
	ebb_py *x = ebb_py_new(p, EBB_PY_GLOBAL);

	if (!x || !(x->item = ebb_py_take(p->heap, 2 * sizeof *x->item)))
		return NULL;
	x->item[0] = module;
	x->item[1] = name;
	x->n = 2;
	for (x->meaning = 0; x->meaning < NAMES; x->meaning++)
		if (ebb_py_is(module, names[x->meaning].module) &&
			ebb_py_is(name, names[x->meaning].name))
			break;
	return x;
}

/* ---- Refusals ------------------------------------------------------------------------------- */

enum { SHOWN = 100 };

/* "os.system", for error messages. */
static const char *shown(const ebb_py *x, char buffer[SHOWN])
{
	static const char *const kinds[] = {[EBB_PY_NONE] = "None",
		[EBB_PY_BOOL] = "a bool",
		[EBB_PY_INT] = "an int",
		[EBB_PY_LONG] = "an int",
		[EBB_PY_FLOAT] = "a float",
		[EBB_PY_TEXT] = "a str",
		[EBB_PY_BYTES] = "a bytes",
		[EBB_PY_TUPLE] = "a tuple",
		[EBB_PY_LIST] = "a list",
		[EBB_PY_DICT] = "a dict",
		[EBB_PY_SET] = "a set",
		[EBB_PY_STORAGE] = "a storage",
		[EBB_PY_TENSOR] = "a tensor",
		[EBB_PY_NUMPY_TYPE] = "a numpy.dtype"};
	char module[48], name[48];

	if (x->kind != EBB_PY_GLOBAL)
		return kinds[x->kind];
	ebb_printable((const char *)x->item[0]->bytes, x->item[0]->n, module, sizeof module);
	ebb_printable((const char *)x->item[1]->bytes, x->item[1]->n, name, sizeof name);
	ebb_snprintf(buffer, SHOWN, "%s.%s", module, name);
	return buffer;
}

static ebb_py *refuse_call(ebb_pickle *p, const ebb_py *function)
{
	char name[SHOWN];

	ebb_pickle_refuse(p, "calls %s: refused, nothing was executed", shown(function, name));
	return NULL;
}

static ebb_py *refuse_object(ebb_pickle *p, const ebb_py *class)
{
	char name[SHOWN];

	ebb_pickle_refuse(p,
		"makes an object of class %s: refused, nothing was executed.  Of a whole module, "
		"save "
		"the tensors alone: torch.save(model.state_dict(), path)",
		shown(class, name));
	return NULL;
}

static ebb_py *refuse_arguments(ebb_pickle *p, const ebb_py *function)
{
	char name[SHOWN];

	ebb_pickle_refuse(
		p, "calls %s with arguments that it does not take", shown(function, name));
	return NULL;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

/* A dict from a list of pairs, as Python 2 wrote it. */
static ebb_py *dict_of_pairs(ebb_pickle *p, const ebb_py *function, const ebb_py *pairs)
{
	ebb_py *x = ebb_py_new(p, EBB_PY_DICT);

	if (!x)
		return NULL;
	x->meaning = EBB_PY_ORDERED_DICT;
	for (uint32_t i = 0; i < pairs->n; i++) {
		ebb_py *pair = pairs->item[i];

		if ((pair->kind != EBB_PY_LIST && pair->kind != EBB_PY_TUPLE) || pair->n != 2)
			return refuse_arguments(p, function);
		if (!ebb_py_append(p, x, pair->item[0]) || !ebb_py_append(p, x, pair->item[1]))
			return NULL;
	}
	return x;
}

static ebb_py *call_dict(
	ebb_pickle *p, const ebb_py *function, const ebb_py *args, ebb_py_meaning meaning)
{
	ebb_py *x;

	if (meaning == EBB_PY_COUNTER && args->n == 1 && args->item[0]->kind == EBB_PY_DICT)
		return args->item[0];
	if (meaning == EBB_PY_ORDERED_DICT && args->n == 1 && args->item[0]->kind == EBB_PY_LIST)
		return dict_of_pairs(p, function, args->item[0]);
	if (args->n != 0 && (meaning != EBB_PY_DEFAULT_DICT || args->n != 1))
		return refuse_arguments(p, function);
	x = ebb_py_new(p, EBB_PY_DICT);
	if (x)
		x->meaning = (uint8_t)meaning;
	return x;
}

/* torch.device("cuda", 0) as the text "cuda:0". */
static ebb_py *call_device(ebb_pickle *p, const ebb_py *function, const ebb_py *args)
{
	ebb_py *kind = args->n > 0 ? args->item[0] : NULL, *x;
	size_t capacity;
	char *text;

	if (!kind || kind->kind != EBB_PY_TEXT || args->n > 2 ||
		(args->n == 2 && args->item[1]->kind != EBB_PY_INT))
		return refuse_arguments(p, function);
	if (args->n == 1)
		return kind;
	capacity = (size_t)kind->n + 24;
	text = ebb_py_take(p->heap, capacity);
	x = text ? ebb_py_new(p, EBB_PY_TEXT) : NULL;
	if (!x)
		return NULL;
	memcpy(text, kind->bytes, kind->n);
	x->bytes = (const uint8_t *)text;
	x->n = kind->n + (uint32_t)ebb_snprintf(text + kind->n, capacity - kind->n, ":%lld",
				 (long long)args->item[1]->i);
	return x;
}

/* _codecs.encode(text, "latin1"): protocol 2 writes bytes in this form. */
static ebb_py *call_encode(ebb_pickle *p, const ebb_py *function, const ebb_py *args)
{
	const ebb_py *text = args->n == 2 ? args->item[0] : NULL;
	uint8_t *bytes;
	ebb_py *x;
	uint32_t n = 0;

	if (!text || text->kind != EBB_PY_TEXT || !ebb_py_is(args->item[1], "latin1"))
		return refuse_arguments(p, function);
	bytes = ebb_py_take(p->heap, text->n ? text->n : 1);
	x = bytes ? ebb_py_new(p, EBB_PY_BYTES) : NULL;
	if (!x)
		return NULL;
	for (uint32_t i = 0; i < text->n; i++) {
		uint8_t c = text->bytes[i], next = i + 1 < text->n ? text->bytes[i + 1] : 0;

		if (c >= 0x80 && ((c != 0xc2 && c != 0xc3) || (next & 0xc0) != 0x80))
			return refuse_arguments(p, function);
		bytes[n++] = c < 0x80 ? c : (uint8_t)(c << 6 | (next & 0x3f));
		i += c >= 0x80;
	}
	x->bytes = bytes;
	x->n = n;
	return x;
}

static ebb_py *call_rebuild(ebb_pickle *p, const ebb_py *function, const ebb_py *args)
{
	static const struct {
		uint32_t least, most;
	} counts[] = {
		[EBB_PY_REBUILD] = {4, 4},
		[EBB_PY_REBUILD_2] = {6, 7},
		[EBB_PY_REBUILD_3] = {7, 8},
		[EBB_PY_REBUILD_QUANTIZED] = {7, 7},
		[EBB_PY_REBUILD_SPARSE] = {2, 2},
		[EBB_PY_REBUILD_META] = {4, 4},
	};
	ebb_py_meaning meaning = ebb_py_means(function);
	ebb_py *x;

	if (args->n < counts[meaning].least || args->n > counts[meaning].most)
		return refuse_arguments(p, function);
	x = ebb_py_new(p, EBB_PY_TENSOR);
	if (x) {
		x->meaning = (uint8_t)meaning;
		x->item = args->item;
		x->n = args->n;
	}
	return x;
}

/* A tensor subclass: the arguments are the function that creates it, the class, and the function's
 * arguments. */
static ebb_py *call_type(ebb_pickle *p, const ebb_py *function, const ebb_py *args)
{
	ebb_py_meaning made;

	if (args->n != 4)
		return refuse_arguments(p, function);
	made = ebb_py_means(args->item[0]);
	if (made < EBB_PY_REBUILD || made > EBB_PY_REBUILD_META)
		return refuse_call(p, args->item[0]);
	if (ebb_py_means(args->item[1]) != EBB_PY_TENSOR_TYPE)
		return refuse_object(p, args->item[1]);
	if (args->item[2]->kind != EBB_PY_TUPLE)
		return refuse_arguments(p, function);
	return call_rebuild(p, args->item[0], args->item[2]);
}

/* A function that returns its first argument, which must be of this kind. */
static ebb_py *call_identity(
	ebb_pickle *p, const ebb_py *function, const ebb_py *args, ebb_py_kind kind)
{
	if (args->n == 0 || args->item[0]->kind != kind)
		return refuse_arguments(p, function);
	return args->item[0];
}

ebb_py *ebb_py_call(ebb_pickle *p, ebb_py *function, ebb_py *args)
{
	ebb_py_meaning meaning = ebb_py_means(function);

	if (args->kind != EBB_PY_TUPLE && meaning != EBB_PY_NOTHING)
		return refuse_arguments(p, function);
	switch (meaning) {
	case EBB_PY_ORDERED_DICT:
	case EBB_PY_DEFAULT_DICT:
	case EBB_PY_COUNTER:
	case EBB_PY_NAMESPACE:
		return call_dict(p, function, args, meaning);
	case EBB_PY_SET_TYPE:
		return ebb_py_new(p, EBB_PY_SET);
	case EBB_PY_SIZE:
		if (args->n == 0)
			return &p->heap->empty;
		return call_identity(p, function, args, EBB_PY_TUPLE);
	case EBB_PY_DEVICE:
		return call_device(p, function, args);
	case EBB_PY_LAYOUT:
		return call_identity(p, function, args, EBB_PY_TEXT);
	case EBB_PY_REBUILD:
	case EBB_PY_REBUILD_2:
	case EBB_PY_REBUILD_3:
	case EBB_PY_REBUILD_QUANTIZED:
	case EBB_PY_REBUILD_SPARSE:
	case EBB_PY_REBUILD_META:
		return call_rebuild(p, function, args);
	case EBB_PY_REBUILD_PARAMETER:
		return call_identity(p, function, args, EBB_PY_TENSOR);
	case EBB_PY_REBUILD_TYPE:
		return call_type(p, function, args);
	case EBB_PY_NUMPY_DTYPE:
	case EBB_PY_NUMPY_SCALAR:
	case EBB_PY_ENCODE: {
		ebb_py *x = meaning == EBB_PY_NUMPY_DTYPE    ? ebb_numpy_dtype(p, args)
		            : meaning == EBB_PY_NUMPY_SCALAR ? ebb_numpy_scalar(p, args)
		                                             : call_encode(p, function, args);

		return x ? x : refuse_arguments(p, function);
	}
	default:
		return refuse_call(p, function);
	}
}

ebb_py *ebb_py_make(ebb_pickle *p, ebb_py *class, ebb_py *args)
{
	ebb_py_meaning meaning = ebb_py_means(class);

	if (args->kind == EBB_PY_TUPLE &&
		(meaning == EBB_PY_NAMESPACE || meaning == EBB_PY_ORDERED_DICT))
		return call_dict(p, class, args, meaning);
	return refuse_object(p, class);
}

bool ebb_py_build(ebb_pickle *p, ebb_py *object, ebb_py *state)
{
	char name[SHOWN];

	if (object->kind == EBB_PY_NUMPY_TYPE)
		return ebb_numpy_dtype_build(p, object, state);
	/* Attributes of a dict, such as a state_dict's _metadata, contain no tensors and are
	 * ignored. */
	if (object->kind == EBB_PY_DICT && object->meaning == EBB_PY_ORDERED_DICT)
		return true;
	if (object->kind != EBB_PY_DICT || object->meaning != EBB_PY_NAMESPACE ||
		state->kind != EBB_PY_DICT || state == object)
		return ebb_pickle_refuse(p, "sets the state of %s: refused, nothing was executed",
			shown(object, name));
	for (uint32_t i = 0; i < state->n; i++)
		if (!ebb_py_append(p, object, state->item[i]))
			return false;
	return true;
}

/* ---- Storages ------------------------------------------------------------------------------- */

static bool is_size(const ebb_py *x)
{
	return x->kind == EBB_PY_INT && x->i >= 0;
}

/* Whether x is None, or a tuple of the key of a view, its offset in the storage, and its number of
 * elements. */
static bool is_view(const ebb_py *x)
{
	return x->kind == EBB_PY_NONE ||
	       (x->kind == EBB_PY_TUPLE && x->n == 3 && is_size(x->item[1]) && is_size(x->item[2]));
}

/* ("storage", class, key, device, elements[, view]) */
ebb_py *ebb_py_persistent(ebb_pickle *p, ebb_py *id)
{
	bool tuple = id->kind == EBB_PY_TUPLE && id->n > 0;
	ebb_py *x;

	if (tuple && ebb_py_is(id->item[0], "module") && id->n > 1)
		return refuse_object(p, id->item[1]);
	if (!tuple || !ebb_py_is(id->item[0], "storage") || (id->n != 5 && id->n != 6) ||
		ebb_py_means(id->item[1]) != EBB_PY_STORAGE_TYPE ||
		id->item[2]->kind != EBB_PY_TEXT || !is_size(id->item[4]) ||
		(id->n == 6 && !is_view(id->item[5]))) {
		ebb_pickle_refuse(p,
			"refers at offset %lld to an object that is not a storage: expected "
			"(\"storage\", "
			"class, "
			"key, device, elements)",
			(long long)(p->origin + p->at));
		return NULL;
	}
	x = ebb_py_new(p, EBB_PY_STORAGE);
	if (x) {
		x->item = id->item;
		x->n = id->n;
	}
	return x;
}
