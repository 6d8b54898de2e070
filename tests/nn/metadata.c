/*
 * metadata.c - loading weights for networks of the catalogue: metadata, prefixes, older names, file
 * names, intermediate classifiers, and files that are wrong.
 */
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

/* A file with the tensors of p under prefix, and these metadata (NULL: left out). */
typedef struct texts {
	const char *model, *names, *input, *resize, *note, *classes;
} texts;

static const char *write_file(const ebb_params *p, const char *name, const char *prefix, texts m)
{
	const char *const keys[] = {"model", "names", "input", "resize", "note", "classes"};
	const char *const values[] = {m.model, m.names, m.input, m.resize, m.note, m.classes};
	const char *path = temp_path(name);
	ebb_archive *a = ebb_archive_new();

	ck_assert(ebb_params_put(p, a, prefix, NULL));
	for (int i = 0; i < 6; i++)
		if (values[i])
			ck_assert(ebb_archive_set_metadata(a, keys[i], values[i], NULL));
	ck_assert(ebb_archive_write(a, path));
	ebb_archive_free(a);
	return path;
}

static void assert_preprocess(const ebb_preprocess *p, ebb_preprocess want)
{
	ck_assert_int_eq(p->resize, want.resize);
	ck_assert_int_eq(p->crop, want.crop);
	ck_assert_int_eq(p->squash, want.squash);
	ck_assert_int_eq(p->bgr, want.bgr);
	ck_assert_int_eq(p->channels, want.channels);
	ck_assert_int_eq(p->filter, want.filter);
	ck_assert_double_eq(p->scale, want.scale);
	for (int c = 0; c < 3; c++) {
		ck_assert_double_eq(p->mean[c], want.mean[c]);
		ck_assert_double_eq(p->std[c], want.std[c]);
	}
}

START_TEST(metadata_set_preprocessing_and_padding)
{
	static const struct {
		texts text;
		ebb_preprocess want;
	} cases[] = {
		{{.input = "1x3x227x227 BGR, 0..255, minus 104,117,123"},
			{256, 227, .squash = true, .bgr = true, .channels = 3, .scale = 1,
				.mean = {104, 117, 123}}},
		{{.input = "8x3x224x224 RGB, 0..1, minus 0.485,0.456,0.406, divided by 0.229,0.224,"
			   "0.225",
			 .resize = "232 bicubic"},
			{232, 224, EBB_RESIZE_BICUBIC, .channels = 3, .scale = 1.0 / 255,
				.mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}}},
		{{.input = "1x3x64x64 RGB, 0..2, minus 1", .resize = "none"},
			{0, 64, .channels = 3, .scale = 2.0 / 255, .mean = {1, 1, 1}}},
		{{.input = "1x3x32x32 RGB, 0..1"},
			{32, 32, .squash = true, .channels = 3, .scale = 1.0 / 255}},
		{{.input = "1x3x100x100 RGB, 0..1, divided by 1e-1", .resize = "120x120 area"},
			{120, 100, EBB_RESIZE_AREA, .squash = true, .channels = 3,
				.scale = 1.0 / 255, .std = {0.1, 0.1, 0.1}}},
	};
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "squeezenet1_1", .classes = 2);
	ebb_squeezenet *inside = net.net;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		texts t = cases[i].text;

		t.note = i % 2 ? "made by hand; classifier.1 has padding 0"
		               : "classifier.1 has padding 1; max-pools use ceil mode";
		ck_assert_msg(ebb_model_load(&net, write_file(p, "w.safetensors", NULL, t)), "%s",
			ebb_params_error(p)->message);
		assert_preprocess(&net.preprocess, cases[i].want);
		ck_assert_int_eq(inside->classifier.pad, i % 2 == 0);
	}
	/* Without metadata the card's numbers hold, and the padding is the network's own. */
	inside->classifier.pad = 1;
	ck_assert(ebb_model_load(&net, write_file(p, "w.safetensors", NULL, (texts){0})));
	assert_preprocess(&net.preprocess, net.card->weights[0].preprocess);
	ck_assert_int_eq(inside->classifier.pad, 0);
	ebb_params_free(p);
}
END_TEST

START_TEST(saved_networks_load_as_they_were)
{
	static const char *const names[] = {"cat", "dog, hound", "\xc3\xa4\"\\"};
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(2);
	ebb_model net = ebb_model_new(p, "squeezenet1_0", .classes = 3);
	ebb_model other = ebb_model_new(q, "squeezenet1_0", .classes = 3);
	const char *path = temp_path("tuned.safetensors");
	ebb_error e = {0};

	((ebb_squeezenet *)net.net)->classifier.pad = 2;
	net.preprocess = (ebb_preprocess){.resize = 300,
		.crop = 291,
		.filter = EBB_RESIZE_NEAREST,
		.bgr = true,
		.channels = 3,
		.scale = 1.0 / 255,
		.mean = {1.0 / 3, 2e-17, -4},
		.std = {0.1, 1.0 / 7, 3}};
	ck_assert(ebb_model_save(&net, path, names));
	ck_assert_msg(ebb_model_load(&other, path), "%s", ebb_params_error(q)->message);
	assert_preprocess(&other.preprocess, net.preprocess);
	ck_assert_int_eq(((ebb_squeezenet *)other.net)->classifier.pad, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(other.class_names[i], names[i]);
	for (int64_t i = 0; i < ebb_params_count(p); i++)
		ck_assert_double_eq(ebb_at(ebb_params_at(p, i), 0), ebb_at(ebb_params_at(q, i), 0));
	/* The names are saved again. */
	ck_assert(ebb_model_save(&other, path, .dtype = EBB_FILE_BF16));
	ck_assert(ebb_model_load(&net, path));
	ck_assert_str_eq(net.class_names[1], "dog, hound");
	ck_assert_str_eq(ebb_model_card_of(path, &e)->name, "squeezenet1_0");
	/* Errors. */
	ck_assert(!ebb_model_save(&net, temp_path("tuned.pth"), .error = &e));
	ck_assert(strstr(e.message, ".safetensors"));
	e = (ebb_error){0};
	ck_assert(
		!ebb_model_save(&net, path, (const char *const[]){"a", "b\nc", "d"}, .error = &e));
	ck_assert(strstr(e.message, "class 1"));
	e = (ebb_error){0};
	ck_assert(!ebb_model_save(NULL, path, .error = &e));
	ck_assert(strstr(e.message, "is NULL"));
	e = (ebb_error){0};
	ck_assert(!ebb_model_load(NULL, path, .error = &e));
	ck_assert(strstr(e.message, "is NULL"));
	e = (ebb_error){0};
	ck_assert(!ebb_model_load(&net, NULL, .error = &e));
	ck_assert(strstr(e.message, "is NULL"));
	e = (ebb_error){0};
	ck_assert(!ebb_model_load(&net, temp_path("none"), .error = &e));
	ck_assert(strstr(e.message, "none"));
	ck_assert(ebb_ok(p, q));
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

START_TEST(wrong_metadata_are_errors)
{
	static const struct {
		texts text;
		const char *says;
	} cases[] = {
		{{.model = "resnet18"},
			"is for the network \"resnet18\", expected \"squeezenet1_1\""},
		{{.names = "torchvision squeezenet1_0"}, "\"squeezenet1_0\""},
		{{.input = ""}, "metadata input is \"\""},
		{{.input = "1x3x227x227"}, "metadata input"},
		{{.input = "1x3x227x228 RGB, 0..1"}, "metadata input"},
		{{.input = "1x2x227x227 RGB, 0..1"}, "metadata input"},
		{{.input = "1x3x0x0 RGB, 0..1"}, "metadata input"},
		{{.input = "1x3x99999999999x99999999999 RGB, 0..1"}, "metadata input"},
		{{.input = "1x3x8x8 RBG, 0..1"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..0"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..inf"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1, minus 1,2"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1, minus 1,2,3,4"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1, minus nan"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1, divided by -1"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1, plus 1"}, "metadata input"},
		{{.input = "1x3x8x8 RGB, 0..1", .resize = "7 bilinear"}, "metadata resize"},
		{{.input = "1x3x8x8 RGB, 0..1", .resize = "9x8 bilinear"}, "metadata resize"},
		{{.input = "1x3x8x8 RGB, 0..1", .resize = "9"}, "metadata resize"},
		{{.input = "1x3x8x8 RGB, 0..1", .resize = "9 lanczos"}, "metadata resize"},
		{{.note = "features.0 has padding 1"}, "padding of \"features.0\""},
	};
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "squeezenet1_1", .classes = 2);
	double first = ebb_at(ebb_params_at(p, 0), 0);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ebb_error e = {0};
		const char *path = write_file(p, "w.safetensors", NULL, cases[i].text);

		ck_assert_msg(!ebb_model_load(&net, path, .error = &e), "case %d", (int)i);
		ck_assert_msg(strstr(e.message, cases[i].says), "%s", e.message);
		ck_assert_msg(strstr(e.message, "metadata.c:"), "%s", e.message);
		assert_preprocess(&net.preprocess, net.card->weights[0].preprocess);
	}
	ck_assert_double_eq(ebb_at(ebb_params_at(p, 0), 0), first);
	ebb_params_free(p);
}
END_TEST

/* Random changes of valid texts are refused or understood; the sanitizers see what else happens. */
START_TEST(damaged_metadata_do_no_harm)
{
	const char *const valid[] = {"1x3x24x24 BGR, 0..255, minus 104,117,123, divided by 1,2,3",
		"32x32 bilinear", "classifier.1 has padding 1; classifier.1 has padding 0"};
	static const char bytes[] = "0123456789xX.,;- BGRe\x01\xff";
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "squeezenet1_1", .classes = 2);
	uint32_t random = 1;
	int accepted = 0;

	for (int i = 0; i < 150; i++) {
		char text[3][100];
		ebb_error e = {0};

		for (int k = 0; k < 3; k++) {
			strcpy(text[k], valid[k]);
			for (int change = 0; change < i % 3; change++) {
				random = random * 1664525u + 1013904223u;
				text[k][(random >> 8) % strlen(valid[k])] =
					bytes[(random >> 20) % (sizeof bytes - 1)];
			}
			/* JSON is UTF-8: other bytes are refused when the file is written. */
			for (char *c = text[k]; *c; c++)
				*c = (unsigned char)*c > 126 ? '?' : *c;
		}
		accepted += ebb_model_load(&net,
			write_file(p, "w.safetensors", NULL,
				(texts){.input = text[0], .resize = text[1], .note = text[2]}),
			.error = &e);
	}
	ck_assert_int_ge(accepted, 50);
	ebb_params_free(p);
}
END_TEST

START_TEST(prefixes_and_older_names_are_translated)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(2), *r = ebb_params_new(3);
	ebb_model net = ebb_model_new(q, "cifar_resnet20");
	ebb_model dense = ebb_model_new(r, "densenet121", .classes = 2);
	ebb_archive *a = ebb_archive_new();
	const char *path;

	ebb_model_new(p, "cifar_resnet20");
	ck_assert(ebb_model_load(&net, write_file(p, "a.safetensors", "module.", (texts){0})));
	ck_assert(ebb_model_load(&net, write_file(p, "a.safetensors", "state_dict.", (texts){0})));
	ck_assert_double_eq(ebb_at(ebb_params_at(p, 0), 0), ebb_at(ebb_params_at(q, 0), 0));

	/* DenseNet's published file has norm.1 in place of norm1. */
	for (int64_t i = 0; i < ebb_params_count(r) + ebb_buffers_count(r); i++) {
		bool buffer = i >= ebb_params_count(r);
		int64_t k = buffer ? i - ebb_params_count(r) : i;
		const char *own = buffer ? ebb_buffers_name_at(r, k) : ebb_params_name_at(r, k);
		char name[200], *layer, *number;

		strcpy(name, own);
		layer = strstr(name, "denselayer");
		number = layer ? strpbrk(strchr(layer, '.'), "12") : NULL;
		if (number) {
			memmove(number + 1, number, strlen(number) + 1);
			*number = '.';
		}
		ck_assert(ebb_archive_add(a, name,
			buffer ? ebb_buffers_at(r, k) : ebb_params_at(r, k), EBB_FILE_DEFAULT,
			NULL));
	}
	path = temp_path("older.safetensors");
	ck_assert(ebb_archive_write(a, path));
	ebb_archive_free(a);
	ck_assert_msg(ebb_model_load(&dense, path), "%s", ebb_params_error(r)->message);
	ebb_params_free(p);
	ebb_params_free(q);
	ebb_params_free(r);
}
END_TEST

START_TEST(file_names_choose_among_published_weights)
{
	ebb_params *p = ebb_params_new(1);
	ebb_model net = ebb_model_new(p, "mobilenet_v2", .classes = 2);
	ebb_error e = {0};
	const char *path;

	ck_assert(ebb_model_load(
		&net, write_file(p, "mobilenet_v2-7ebf99e0.safetensors", NULL, (texts){0})));
	ck_assert_int_eq(net.preprocess.resize, 232);
	ck_assert(ebb_model_load(
		&net, write_file(p, "mobilenet_v2-b0353104.safetensors", NULL, (texts){0})));
	ck_assert_int_eq(net.preprocess.resize, 256);
	path = temp_path("mobilenet_v2-b0353104.safetensors");
	ck_assert_str_eq(ebb_model_card_of(path, &e)->name, "mobilenet_v2");
	ck_assert_ptr_null(
		ebb_model_card_of(write_file(p, "unknown.safetensors", NULL, (texts){0}), &e));
	ck_assert(strstr(e.message, "which network"));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_model_card_of(
		write_file(p, "unknown.safetensors", NULL, (texts){.model = "x\n"}), &e));
	ck_assert(strstr(e.message, "a network that the catalogue does not have"));
	e = (ebb_error){0};
	ck_assert_ptr_null(ebb_model_card_of(NULL, &e));
	ck_assert(strstr(e.message, "path is NULL"));
	ebb_params_free(p);
}
END_TEST

START_TEST(absent_classifiers_are_ignored)
{
	ebb_params *p = ebb_params_new(1), *q = ebb_params_new(2);
	ebb_model net = ebb_model_new(p, "googlenet", .classes = 2);
	ebb_model bare = ebb_model_new(q, "googlenet", .classes = 2, .no_aux = true);
	const char *path = write_file(p, "g.safetensors", NULL, (texts){0});
	ebb_error e = {0};

	ck_assert_msg(ebb_model_load(&bare, path, .error = &e), "%s", e.message);
	ck_assert_double_eq(ebb_at(ebb_params_find(p, "fc.weight"), 0),
		ebb_at(ebb_params_find(q, "fc.weight"), 0));
	/* The converse is an error: the classifiers would keep random weights. */
	ck_assert(!ebb_model_load(
		&net, write_file(q, "b.safetensors", NULL, (texts){0}), .error = &e));
	ck_assert(strstr(e.message, "missing"));
	ebb_params_free(p);
	ebb_params_free(q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metadata");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, make_temp_dir, remove_temp_dir);
	tcase_add_test(c, metadata_set_preprocessing_and_padding);
	tcase_add_test(c, saved_networks_load_as_they_were);
	tcase_add_test(c, wrong_metadata_are_errors);
	tcase_add_test(c, damaged_metadata_do_no_harm);
	tcase_add_test(c, prefixes_and_older_names_are_translated);
	tcase_add_test(c, file_names_choose_among_published_weights);
	tcase_add_test(c, absent_classifiers_are_ignored);
	suite_add_tcase(s, c);
	return run_suite(s);
}
