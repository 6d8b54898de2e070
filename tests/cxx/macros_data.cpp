// Every macro of archive/, data/, flow/, training/ and ebb.h, once.  cxx.py compares with the headers.
#include <cstdio>
// ebb.h may be included in a block extern "C", as other libraries' headers are.
extern "C" {
#include <ebb.h>
}

static int failures;

static void ran(const char *what, ebb_error *e, bool ok)
{
	if (ok && ebb_ok(e))
		return;
	std::printf("%s: %s\n", what, e->message);
	failures++;
	*e = {};
}
#define OK(call) ran(#call, &e, (call))
#define RAN(call) ran(#call, &e, (call) != nullptr)

static void images()
{
	ebb_error e{};
	ebb_image x{}, y{};
	ebb_dataset *digits = ebb_digits(20, 1, &e), *first = nullptr, *second = nullptr;

	OK(ebb_image_grid(&x, digits->images, ebb::columns = 5, ebb::error = &e));
	OK(ebb_image_resize(&x, &y, 20, 30, EBB_RESIZE_AREA,
		ebb::crop = ebb::make<ebb_rect>(1, 1, ebb::height = 9, ebb::width = 9),
		ebb::error = &e));
	OK(ebb_image_write_png("class.png", &y, &e));
	OK(ebb_dataset_split(
		digits, 0.5, &first, &second, ebb::stratified = true, ebb::error = &e));
	ebb_dataset_free(first);
	ebb_dataset_free(second);
	ebb_dataset_free(digits);
	ebb_image_free(&x);
	ebb_image_free(&y);
}

static bool grey(void *, int64_t i, ebb_image *x, ebb_error *e)
{
	if (!ebb_image_shape(x, 4, 4, 1, e))
		return false;
	for (int k = 0; k < 16; k++)
		x->pixels[k] = static_cast<uint8_t>(i);
	return true;
}

static void datasets()
{
	ebb_error e{};
	ebb_batch batch;
	ebb_dataset *custom = ebb_dataset_custom(
		8, 2, grey, [](void *, int64_t i) -> int64_t { return i % 2; }, ebb::channels = 1,
		ebb::height = 4, ebb::width = 4, ebb::error = &e);
	ebb_loader *loader = ebb_loader_new(
		custom, ebb::batch = 4, ebb::mean = {0.5, 0}, ebb::std = {1}, ebb::error = &e);

	RAN(custom);
	OK(ebb_loader_next(loader, &batch) && ebb_size(batch.images, 2) == 4);
	ebb_loader_free(loader);
	ebb_dataset_free(custom);

	FILE *f = std::fopen("list.txt", "w");
	std::fputs("class.png\t0\n", f);
	std::fclose(f);
	custom = ebb_list("list.txt", ebb::channels = 3, ebb::error = &e);
	RAN(custom);
	ebb_dataset_free(custom);
	// What is not there is an error in e.
	OK(!ebb_folder("there-is-no-such-folder", ebb::error = &e) && !ebb_ok(&e) &&
		(e = {}, true));
	OK(!ebb_numpy("no-images.npy", "no-labels.npy", ebb::error = &e) && !ebb_ok(&e) &&
		(e = {}, true));
}

static bool fill(void *, int64_t i, void *input, void *, ebb_error *)
{
	*static_cast<float *>(input) = static_cast<float>(i);
	return true;
}

static void rows()
{
	ebb_error e{};
	ebb_tape *t = ebb_tape_new();
	ebb_dataset *d = ebb_rows(
		ebb_rand(t, EBB_SHAPE(6, 3)), ebb_arange(t, 6), ebb::classes = 6, ebb::error = &e);
	ebb_vocabulary *v = nullptr;
	ebb_tensor *tokens;

	RAN(d);
	ebb_dataset_free(d);
	RAN(d = ebb_windows(ebb_arange(t, 20), ebb::context = 4, ebb::error = &e));
	OK(d && d->count == 4);
	ebb_dataset_free(d);
	RAN(d = ebb_rows_custom(5, fill, ebb::input_dtype = EBB_F32, ebb::error = &e));
	ebb_dataset_free(d);
	RAN(tokens = ebb_tokens_read("list.txt", &v, ebb::bytes = true, ebb::error = &e));
	OK(v && v->size == 256 && ebb_size(tokens, 0) == 12);
	ebb_tensor_free(tokens);
	ebb_vocabulary_free(v);
	ebb_tape_free(t);
}

static void augmentation()
{
	ebb_error e{};
	ebb_augment *a = ebb_augment_new(&e);
	ebb_image x{}, y{};

	OK(ebb_augment_resize(a, 16, 16));
	OK(ebb_augment_crop(a, 12, 12, ebb::pad = 2, ebb::fill = {1, 2, 3}));
	OK(ebb_augment_centre_crop(a, 10, 10));
	OK(ebb_augment_resized_crop(a, 8, 8, ebb::area = {0.5, 1}, ebb::ratio = {1, 1}));
	OK(ebb_augment_flip(a, ebb::vertical = true));
	OK(ebb_augment_rotate(a, 10, ebb::border = EBB_BORDER_EDGE));
	OK(ebb_augment_affine(a, ebb::degrees = 10, ebb::scale = {0.9, 1.1}, ebb::shear = {5, 5}));
	OK(ebb_augment_perspective(a, 0.2));
	OK(ebb_augment_elastic(a, ebb::p = 0.5));
	OK(ebb_augment_jitter(a, ebb::brightness = 0.1));
	OK(ebb_augment_greyscale(a, ebb::p = 0.1));
	OK(ebb_augment_lighting(
		a, 0.1, ebb::values = {1, 1, 1}, ebb::vectors = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}));
	OK(ebb_augment_blur(a, ebb::sigma = {0.1, 1}, ebb::kernel = 3));
	OK(ebb_augment_noise(a, 1));
	OK(ebb_augment_cutout(a, 2, ebb::holes = 2));
	OK(ebb_augment_erase(a, ebb::noise = true));
	OK(ebb_augment_randaugment(a, 2, 5));
	OK(ebb_image_shape(&x, 20, 20, 3, &e));
	for (int64_t i = 0; i < 20 * 20 * 3; i++)
		x.pixels[i] = static_cast<uint8_t>(i);
	OK(ebb_augment_apply(a, &x, &y, ebb::seed = 3, ebb::error = &e) && y.height == 8);
	OK(ebb_ok(a));
	ebb_augment_free(a);

	a = ebb_augment_new(&e);
	OK(ebb_augment_ten_crop(a, 4, 4));
	ebb_augment_free(a);
	a = ebb_augment_new(&e);
	OK(ebb_augment_mixup(a, ebb::alpha = 0.2));
	OK(ebb_augment_cutmix(a, 0.5));
	ebb_augment_free(a);
	ebb_image_free(&x);
	ebb_image_free(&y);
}

static void archives()
{
	ebb_error e{};
	ebb_archive *a = ebb_archive_new();

	OK(ebb_archive_add_f64(a, "x", 3, &e));
	OK(ebb_archive_write(a, "x.npz", ebb::deflate = true, ebb::error = &e));
	ebb_archive_free(a);
	RAN(a = ebb_archive_read("x.npz", ebb::most_bytes = 1000, ebb::error = &e));
	ebb_archive_free(a);
}

static void training()
{
	ebb_error e{};
	ebb_tape *t = ebb_tape_new();
	ebb_params *p = ebb_params_new(1);
	ebb_linear fc = ebb_linear_new(p, "fc", 4, 2);
	ebb_optim *opt = ebb_sgd(p, ebb::lr = 0.1);
	ebb_flow *flow = ebb_flow_new(t, ebb::every = 1, ebb::error = &e);
	ebb_probe *probe = ebb_probe_new(t, ebb::scopes = "fc", ebb::error = &e);
	ebb_average average{};
	ebb_tensor *kept = ebb_tensor_new(EBB_F32, EBB_SHAPE(2), false, &e);
	ebb_saver *saver = ebb_saver_new("run.safetensors", ebb::keep = 2, ebb::error = &e);
	ebb_text text{};
	double best = 0;
	int64_t step = 0;
	uint64_t seed = 1;
	int level = 2;
	bool done = false;

	OK(ebb_saver_add(saver, "model", p) && ebb_saver_add(saver, "optimizer", opt));
	OK(ebb_saver_add(saver, "tape", t) && ebb_saver_add(saver, "average", &average));
	OK(ebb_saver_add(saver, "kept", kept) && ebb_saver_add(saver, "best", &best));
	OK(ebb_saver_add(saver, "step", &step) && ebb_saver_add(saver, "seed", &seed));
	OK(ebb_saver_add(saver, "level", &level) && ebb_saver_add(saver, "done", &done));
	for (; step < 2; step++) {
		ebb_tensor *x = ebb_linear_forward(t, &fc, ebb_rand(t, EBB_SHAPE(3, 4)));

		ebb_params_zero_grad(p);
		OK(ebb_backward(t, ebb_mean(t, ebb_square(t, x))));
		OK(ebb_optim_step(opt));
		ebb_probe_step(probe);
		ebb_tape_reset(t);
	}
	OK(ebb_saver_save(saver, step));
	OK(ebb_flow_table(flow, &text, ebb::width = 100, ebb::error = &e));
	OK(ebb_flow_export(flow, &text, ebb::json = true, ebb::error = &e));
	OK(ebb_probe_table(probe, &text, ebb::bars = true, ebb::error = &e));
	OK(ebb_probe_csv(probe, &text, ebb::no_header = true, ebb::error = &e));
	OK(ebb_first_error(t, p, opt, saver, &e) == nullptr);
	ebb_text_free(&text);
	ebb_probe_free(probe);
	ebb_flow_free(flow);
	ebb_saver_free(saver);
	ebb_optim_free(opt);
	ebb_tensor_free(kept);
	ebb_tape_free(t);
	ebb_params_free(p);
}

int main()
{
	images();
	datasets();
	rows();
	augmentation();
	archives();
	training();
	return failures;
}
