// What must not compile, and what the message must say.  cxx.py compiles each case by itself.
#include <ebb.h>

void refused(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, ebb_saver *s, double (&a)[2]);
void refused(ebb_tape *t, ebb_tensor *x, ebb_tensor *w, ebb_saver *s, double (&a)[2])
{
	ebb_conv2d(t, x, w, ebb::stride = 2, ebb::pad_hw = {1, 0}); // the sound one
	ebb_saver_add(s, "x", &a[0]);
#if CASE == 1 // strid
	ebb_conv2d(t, x, w, ebb::strid = 2);
#elif CASE == 2  // this call has no option ebb::keepdim
	ebb_conv2d(t, x, w, ebb::keepdim = true);
#elif CASE == 3  // the option ebb::stride_hw takes a value of another type, or fewer elements
	ebb_conv2d(t, x, w, ebb::stride_hw = {1, 2, 3});
#elif CASE == 4  // the option ebb::stride takes a value of another type
	ebb_conv2d(t, x, w, ebb::stride = "2");
#elif CASE == 5  // the option ebb::stride_hw takes a value of another type
	ebb_conv2d(t, x, w, ebb::stride_hw = 2);
#elif CASE == 6  // positional arguments come before options
	ebb_conv2d(t, x, ebb::w = w, nullptr);
#elif CASE == 7  // nullptr instead of NULL or 0
	ebb_conv2d(t, x, w, 0, ebb::stride = 2);
#elif CASE == 8  // (too many|excess) .*initializer
	ebb_sum(t, x, EBB_AXES(0), true, nullptr, 4);
#elif CASE == 9  // this call has no option ebb::lr
	ebb_conv_new(nullptr, "c", 1, 1, 1, ebb::init = EBB_INIT(EBB_INIT_ZEROS, ebb::lr = 1));
#elif CASE == 10 // ebb_saver_add takes no array
	ebb_saver_add(s, "a", a);
#elif CASE == 11 // error_of
	ebb_ok(t, x);
#elif CASE == 12 // at most eight objects
	ebb_ok(t, t, t, t, t, t, t, t, t);
#elif CASE == 13 // (too many|excess) .*initializer
	ebb_zeros(t, EBB_SHAPE(1, 2, 3, 4, 5, 6, 7, 8, 9));
#endif
}
