// An op of one's own, as cube.c of the README.
#include <cstdio>
#include <ebb.h>

static void cube_vjp(ebb_vjp *v) // d(x^3) = 3 x^2
{
	ebb_give(v, 0, ebb_mul(v->t, v->gy, ebb_mul_scalar(v->t, ebb_square(v->t, v->in[0]), 3.0)));
}
static constexpr ebb_op CUBE =
	ebb::make<ebb_op>(ebb::name = "cube", ebb::vjp = cube_vjp, ebb::reads = {EBB_IN(0)});

static ebb_tensor *cube(ebb_tape *t, ebb_tensor *x)
{
	ebb_call c = ebb_begin(t, &CUBE, EBB_SITE, 1, &x);
	ebb_tensor *y = ebb_new_like(&c, x);

	if (ebb_dtype_of(x) != EBB_F64)
		return ebb_call_fail(&c, EBB_BAD_DTYPE, "x is %s, F64 expected",
			ebb_dtype_name(ebb_dtype_of(x)));
	if (y) {
		const double *in = static_cast<const double *>(ebb_data(x));
		double *out = static_cast<double *>(ebb_data_mutable(y));

		for (int64_t i = 0; i < ebb_count(x); i++)
			out[i] = in[i] * in[i] * in[i];
	}
	return ebb_record(&c, y);
}

int main()
{
	ebb_error error{};
	ebb_tensor *x = ebb_tensor_new(EBB_F64, EBB_SHAPE(5), false, &error);
	const ebb_tensor *inputs[] = {x};
	const double values[] = {-2, -1, 0.5, 1, 2};

	ebb_copy_in(x, values, sizeof values);
	if (!ebb_gradcheck(
		    ebb::fn = [](ebb_tape *t, ebb_tensor **v, void *) { return cube(t, v[0]); },
		    ebb::n = 1, ebb::x = inputs, ebb::second = true, ebb::error = &error))
		return std::fprintf(stderr, "%s\n", error.message), 1;
	std::puts("the gradient and the gradient of the gradient agree");
	ebb_tensor_free(x);
}
