/* finetune.c - the demos classify and finetune, on small images and a network with random weights. */
#include <sys/stat.h>

#include "directory.h"
#include "folder.h"

static void write_text(const char *path, const char *lines)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fputs(lines, f) >= 0 && fclose(f) == 0);
}

/* Writes data/CLASS/I.png, lists of these images, and weights.safetensors. */
static void setup(void)
{
	char lines[2][600] = {"", ""}, line[60];

	make_directory();
	write_folder(in_directory("%s/data"));
	mkdir(in_directory("%s/lists"), 0777);
	for (int c = 0; c < CLASSES; c++)
		for (int i = 0; i < IMAGES; i++) {
			snprintf(line, sizeof line, "../data/%s/%d.png\t%d\n", fruit[c], i, c);
			strcat(lines[i % 2], line);
		}
	write_text(in_directory("%s/lists/train.tsv"), lines[0]);
	write_text(in_directory("%s/lists/test.tsv"), lines[1]);
	write_text(in_directory("%s/lists/classes.tsv"),
		"label\tclass\n0\tred apple\t2\n1\tbanana\n2\tcherry\n");
	write_weights(in_directory("%s/weights.safetensors"), "squeezenet1_1");
}

START_TEST(a_tuned_network_classifies_without_further_options)
{
	assert_runs("%s",
		in_directory("finetune %1$s/data --weights %1$s/weights.safetensors --epochs 2 "
			     "--batch 4 --scratch-epochs 1 --threads 1 --out %1$s/t.safetensors"));
	assert_says("12 images of 3 classes to train, 6 to test");
	assert_says("SqueezeNet 1.1, pretrained: ");
	assert_says("SqueezeNet 1.1, from scratch: 724035 of 724035 parameters are trained");
	assert_says("epoch 2/2");
	assert_says("epoch 1/1");
	assert_says("\npretrained, fine-tuned             2 ");
	assert_says("\nfrom scratch                       1 ");

	assert_runs("%s", in_directory("classify %1$s/data/apple/1.png %1$s/data/cherry/2.png "
				       "--weights %1$s/t.safetensors --threads 1"));
	assert_says("SqueezeNet 1.1 (2016), t.safetensors: 3 classes\n");
	assert_says("/data/apple/1.png  51 x 40\n");
	assert_says("/data/cherry/2.png  52 x 40\n");
	for (int c = 0; c < CLASSES; c++)
		assert_says(fruit[c]);
	/* Names of one's own, and a file with too few of them. */
	write_text(in_directory("%s/names"), "Apfel\nBanane\nKirsche\n");
	assert_runs("%s",
		in_directory("classify %1$s/data/apple/1.png --weights %1$s/t.safetensors --top 1 "
			     "--classes %1$s/names"));
	ck_assert(!strstr(output, "apple\n") && strstr(output, "%"));
	write_text(in_directory("%s/names"), "Apfel\nBanane\n");
	ck_assert_int_eq(run("%s", in_directory("classify %1$s/data/apple/1.png --weights "
						"%1$s/t.safetensors --classes %1$s/names")),
		1);
	assert_says("/names: has 2 names, expected 3, one per class of the network");
}
END_TEST

START_TEST(lists_name_the_images_and_the_classes)
{
	assert_runs("%s",
		in_directory("finetune %1$s/lists --weights %1$s/weights.safetensors --epochs 1 "
			     "--batch 8 --scratch-epochs 0 --freeze 'features.*' --size 24 "
			     "--out %1$s/t.safetensors --workers 0"));
	assert_says("9 images of 3 classes to train, 9 to test");
	/* classifier.1: 3 x 512 weights and 3 biases */
	assert_says(": 1539 of 724035 parameters are trained on images of 24 x 24\n");
	ck_assert_ptr_null(strstr(output, "from scratch"));
	assert_runs(
		"%s", in_directory("classify %1$s/data/apple/1.png --weights %1$s/t.safetensors"));
	assert_says("red apple\n");
}
END_TEST

START_TEST(a_finished_run_is_resumed_with_the_same_result)
{
	static char whole[1 << 12];
	const char *command =
		"finetune %1$s/data --weights %1$s/weights.safetensors --epochs 1 --batch 4 "
		"--threads 1 --checkpoint %1$s/run.safetensors --resume";
	char fresh[300];

	assert_runs("%s", in_directory(command));
	ck_assert_ptr_nonnull(strstr(output, "\npretrained, fine-tuned"));
	snprintf(whole, sizeof whole, "%s", strstr(output, "\npretrained, fine-tuned"));
	assert_runs("%s", in_directory(command));
	assert_says("resumed after step 3\n");
	assert_says(whole);
	/* Without --resume, nothing is overwritten. */
	snprintf(fresh, sizeof fresh, "%s", command);
	*strstr(fresh, " --resume") = '\0';
	ck_assert_int_eq(run("%s", in_directory(fresh)), 1);
	assert_says("run.safetensors: already holds a run");
}
END_TEST

START_TEST(the_catalogue_lists_the_files_of_weights)
{
	assert_runs("classify %s", "--list");
	assert_says("network              year   parameters  SHA-256   file of weights\n");
	assert_says("resnet18             2016   11,689,512  f37072fd  resnet18-f37072fd.pth\n");
	assert_says("  42c713a4  squeezenet1_0-deepcompression.safetensors\n");
	assert_says("  from github.com/songhan/SqueezeNet-Deep-Compression");
	for (int i = 0; i < ebb_model_cards(); i++)
		assert_says(ebb_model_card_at(i)->name);
}
END_TEST

START_TEST(other_images_are_classified_after_a_bad_one)
{
	write_text(in_directory("%s/text.jpg"), "no image");
	ck_assert_int_eq(run("%s", in_directory("classify %1$s/missing.png %1$s/text.jpg "
						"%1$s/data/banana/0.png --top 2 "
						"--weights %1$s/weights.safetensors")),
		1);
	assert_says("/missing.png: cannot be read");
	assert_says("/text.jpg: ");
	assert_says("/banana/0.png  50 x 40\n");
	/* 1,000 classes without names have numbers. */
	assert_says("class ");
	write_text(in_directory("%s/imagenet-classes.txt"), "too few\n");
	assert_runs("%s", in_directory("classify %1$s/data/banana/0.png --weights "
				       "%1$s/weights.safetensors"));
	assert_says("class ");
}
END_TEST

START_TEST(bad_calls_are_errors_with_message_and_status)
{
	static const demo_call cases[] = {
		{"classify", "IMAGE is missing", 2},
		{"classify a.png", "--weights FILE is missing", 2},
		{"classify a.png --top 0 --weights w", "--top: got '0'", 2},
		{"classify --list a.png", "unexpected argument 'a.png'", 2},
		{"classify a.png --weights /nonexistent/w.pth", "/nonexistent/w.pth", 1},
		{"classify %1$s/data/apple/1.png --weights %1$s/lists/train.tsv", "train.tsv", 1},
		{"classify a.png --weights %1$s/plain.safetensors",
			"by --model (see classify --list)", 1},
		{"classify a.png --weights %1$s/plain.safetensors --model resnet18", "resnet18", 1},
		{"classify a.png --weights %1$s/weights.safetensors --model resnet81", "resnet81",
			1},
		{"classify a.png --weights %1$s/weights.safetensors --model resnet18",
			"squeezenet1_1", 1},
		{"classify a.png --weights %1$s/weights.safetensors --classes /nonexistent/names",
			"/nonexistent/names", 1},
		{"finetune", "DATA is missing", 2},
		{"finetune %1$s/data", "--weights is missing", 2},
		{"finetune %1$s/data extra --weights w", "unexpected argument 'extra'", 2},
		{"finetune %1$s/data --weights w --model resnet81", "no network of that name", 2},
		{"finetune %1$s/data --weights w --head-lr 0", "--head-lr: got '0'", 2},
		{"finetune %1$s/data --weights w --epochs 0", "--epochs: got '0'", 2},
		{"finetune %1$s/data --weights w --out t.pth", "ends in .safetensors", 2},
		{"finetune %1$s/data --weights w --resume", "--resume requires --checkpoint", 2},
		{"finetune /nonexistent/data --weights w", "/nonexistent/data", 1},
		{"finetune %1$s/data --weights /nonexistent/w.pth", "/nonexistent/w.pth", 1},
		{"finetune %1$s/data --weights %1$s/weights.safetensors --model resnet18",
			"squeezenet1_1", 1},
		{"finetune %1$s/data --weights %1$s/weights.safetensors --freeze conv9.*",
			"no parameter of squeezenet1_1 matches 'conv9.*'", 1},
		{"finetune %1$s/data --weights %1$s/weights.safetensors --out /nonexistent/a/"
		 "t.safetensors",
			"/nonexistent/a", 1},
	};
	ebb_params *p = ebb_params_new(1);

	/* A file that does not say which network it is for. */
	ebb_linear_new(p, "fc", 2, 2);
	ck_assert(ebb_params_save(p, in_directory("%s/plain.safetensors")));
	ebb_params_free(p);
	check_calls(sizeof cases / sizeof *cases, cases);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos of published networks");
	TCase *c = tcase_create("finetune");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 100);
	tcase_add_checked_fixture(c, setup, remove_directory);
	tcase_add_test(c, a_tuned_network_classifies_without_further_options);
	tcase_add_test(c, lists_name_the_images_and_the_classes);
	tcase_add_test(c, a_finished_run_is_resumed_with_the_same_result);
	tcase_add_test(c, the_catalogue_lists_the_files_of_weights);
	tcase_add_test(c, other_images_are_classified_after_a_bad_one);
	tcase_add_test(c, bad_calls_are_errors_with_message_and_status);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
