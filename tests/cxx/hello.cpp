// The derivative of x*sin(x) at 3.
#include <cstdio>
#include <ebb.h>

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 3.0)); // a leaf that requires a gradient
	ebb_tensor *y = ebb_mul(t, x, ebb_sin(t, x));

	ebb_backward(t, y);
	if (ebb_failed(t))
		return std::fprintf(stderr, "%s\n", ebb_error_message(t)), 1;
	std::printf("dy/dx = %g\n", ebb_item(ebb_grad_of(x)));
	ebb_tape_free(t);
}
