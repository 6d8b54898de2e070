/* folder.h - a folder of small images and a network with random weights, for the demos. */
#ifndef EBB_TESTS_DEMOS_FOLDER_H
#define EBB_TESTS_DEMOS_FOLDER_H

#include <ebb.h>
#include <sys/stat.h>

#include "run.h"

enum { CLASSES = 3, IMAGES = 6 };
static const char *const fruit[CLASSES] = {"apple", "banana", "cherry"};

/* An image of one colour for each class, with a pattern that depends on i. */
static inline void write_image(const char *path, int class, int i)
{
	ebb_image x = {0};
	ebb_error e = {0};

	ck_assert(ebb_image_shape(&x, 40, 50 + i, 3, &e));
	for (int64_t k = 0; k < x.height * x.width * 3; k++)
		x.pixels[k] = (uint8_t)(k % 3 == class ? 200 + k % 7 * i : k * i % 64);
	ck_assert_msg(ebb_image_write_png(path, &x, &e), "%s", e.message);
	ebb_image_free(&x);
}

/* Weights of the network for images of 32 x 32. */
static inline void write_weights(const char *path, const char *model)
{
	ebb_params *p = ebb_params_new(3);
	ebb_model net = ebb_model_new(p, model);

	net.preprocess.resize = 36;
	net.preprocess.crop = 32;
	ck_assert_msg(ebb_model_save(&net, path), "%s", ebb_params_error(p)->message);
	ebb_params_free(p);
}

/* Writes CLASS/I.png into a new directory at path, IMAGES for each class. */
static inline void write_folder(const char *path)
{
	char file[2100];

	mkdir(path, 0777);
	for (int c = 0; c < CLASSES; c++) {
		snprintf(file, sizeof file, "%s/%s", path, fruit[c]);
		mkdir(file, 0777);
		for (int i = 0; i < IMAGES; i++) {
			snprintf(file, sizeof file, "%s/%s/%d.png", path, fruit[c], i);
			write_image(file, c, i);
		}
	}
}

#endif
