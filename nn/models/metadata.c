/*
 * metadata.c - the texts in a file of weights that say how its network's input is made.
 */
#include "nn/models/internal.h"

#include <math.h>
#include <string.h>

#include "archive/internal.h"
#include "tensor/host.h"

static const struct {
	const char *name;
	ebb_resize_filter filter;
} FILTERS[] = {
	{"bilinear", EBB_RESIZE_BILINEAR},
	{"bicubic", EBB_RESIZE_BICUBIC},
	{"area", EBB_RESIZE_AREA},
	{"nearest", EBB_RESIZE_NEAREST},
};
enum { KINDS = sizeof FILTERS / sizeof *FILTERS, MOST_PIXELS = 1 << 16 };

/* ---- Reading --------------------------------------------------------------------------------- */

/* Each of these functions moves *text behind what it reads; false: something else is there. */

static bool word(const char **text, const char *expected)
{
	size_t n = strlen(expected);

	if (strncmp(*text, expected, n) != 0)
		return false;
	*text += n;
	return true;
}

/* A number without leading spaces, so that "1,  2" is no list of numbers. */
static bool number(const char **text, double *x)
{
	char *end;

	if (!strchr("+-.0123456789", **text) || !**text)
		return false;
	*x = ebb_strtod(*text, &end);
	if (end == *text || !isfinite(*x))
		return false;
	*text = end;
	return true;
}

static bool size(const char **text, int64_t *n)
{
	int64_t value = 0;
	const char *begin = *text;

	for (; **text >= '0' && **text <= '9'; ++*text)
		if ((value = 10 * value + (**text - '0')) > MOST_PIXELS)
			return false;
	*n = value;
	return *text != begin && value > 0;
}

/* One number for all channels, or one for each. */
static bool numbers(const char **text, int channels, double x[3])
{
	int n = 0;

	do
		if (n == channels || !number(text, &x[n++]))
			return false;
	while ((*text)[0] == ',' && (*text)[1] != ' ' && word(text, ","));
	for (int c = n; n == 1 && c < channels; c++)
		x[c] = x[0];
	return n == 1 || n == channels;
}

static bool read_input(const char *text, ebb_preprocess *p)
{
	int64_t images, channels, height, width;
	double top;

	if (!size(&text, &images) || !word(&text, "x") || !size(&text, &channels) ||
		!word(&text, "x") || !size(&text, &height) || !word(&text, "x") ||
		!size(&text, &width) || (channels != 1 && channels != 3) || height != width)
		return false;
	p->channels = (int)channels;
	p->crop = height;
	p->bgr = channels == 3 && word(&text, " BGR");
	if (channels == 3 && !p->bgr && !word(&text, " RGB"))
		return false;
	if (!word(&text, ", 0..") || !number(&text, &top) || !(top > 0))
		return false;
	p->scale = top / 255;
	if (word(&text, ", minus ") && !numbers(&text, p->channels, p->mean))
		return false;
	if (word(&text, ", divided by ") && !numbers(&text, p->channels, p->std))
		return false;
	for (int c = 0; c < 3; c++)
		if (p->std[c] < 0)
			return false;
	return !*text;
}

static bool read_resize(const char *text, ebb_preprocess *p)
{
	int64_t other;

	p->resize = 0;
	p->squash = false;
	if (strcmp(text, "none") == 0)
		return true;
	if (!size(&text, &p->resize) || p->resize < p->crop)
		return false;
	if (word(&text, "x")) {
		p->squash = true;
		if (!size(&text, &other) || other != p->resize)
			return false;
	}
	if (!word(&text, " "))
		return false;
	for (int i = 0; i < KINDS; i++)
		if (strcmp(text, FILTERS[i].name) == 0) {
			p->filter = FILTERS[i].filter;
			return true;
		}
	return false;
}

/* Reads one sentence of n bytes; it sets d's padding if it is "NAME has padding N". */
static void read_sentence(const char *text, size_t n, ebb_described *d)
{
	static const char says[] = " has padding ";
	const char *at = strstr(text, says), *digits;
	int64_t padding = 0;

	if (!at || at >= text + n || (size_t)(at - text) >= sizeof d->padded)
		return;
	digits = at + sizeof says - 1;
	if (*digits != '0' && !size(&digits, &padding))
		return;
	memcpy(d->padded, text, (size_t)(at - text));
	d->padded[at - text] = '\0';
	d->padding = (int)padding;
}

static void read_note(const char *note, ebb_described *d)
{
	while (*note) {
		size_t n;

		note += strspn(note, "; ");
		n = strcspn(note, ";");
		read_sentence(note, n, d);
		note += n;
	}
}

bool ebb_describe_read(
	const char *input, const char *resize, const char *note, ebb_described *d, ebb_error *e)
{
	char shown[160];

	*d = (ebb_described){0};
	if (note)
		read_note(note, d);
	if (!input)
		return true;
	d->has_input = true;
	if (!read_input(input, &d->preprocess)) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"its metadata input is \"%s\", expected a text such as \"1x3x227x227 BGR, "
			"0..255, minus 104,117,123\"",
			ebb_printable(input, strlen(input), shown, sizeof shown));
		return false;
	}
	if (!resize) {
		int64_t side = d->preprocess.crop;

		d->preprocess.resize = side >= 200 && side <= 256 ? 256 : side;
		d->preprocess.squash = true;
		return true;
	}
	if (!read_resize(resize, &d->preprocess)) {
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"its metadata resize is \"%s\", expected a text such as \"256 bilinear\", "
			"\"256x256 bilinear\" or \"none\", of at least the input's size",
			ebb_printable(resize, strlen(resize), shown, sizeof shown));
		return false;
	}
	return true;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The shortest of both precisions that reads back as the same number. */
static void add_number(char *text, size_t size, double x)
{
	char digits[40];

	ebb_snprintf(digits, sizeof digits, "%.9g", x);
	if (ebb_strtod(digits, NULL) != x)
		ebb_snprintf(digits, sizeof digits, "%.17g", x);
	ebb_append(text, size, "%s", digits);
}

static void add_numbers(char *text, size_t size, const char *what, int channels, const double *x)
{
	ebb_append(text, size, ", %s ", what);
	for (int c = 0; c < channels; c++) {
		ebb_append(text, size, c ? "," : "");
		add_number(text, size, x[c]);
	}
}

void ebb_describe_write(const ebb_preprocess *p, int64_t side, char *input, size_t input_size,
	char *resize, size_t resize_size)
{
	int channels = p->channels ? p->channels : 3;
	bool divided = false;
	double std[3];

	for (int c = 0; c < 3; c++) {
		std[c] = p->std[c] != 0 ? p->std[c] : 1;
		divided = divided || std[c] != 1;
	}
	if (p->crop)
		side = p->crop;
	ebb_snprintf(input, input_size, "1x%dx%lldx%lld%s, 0..", channels, (long long)side,
		(long long)side,
		channels == 1 ? ""
		: p->bgr      ? " BGR"
			      : " RGB");
	add_number(input, input_size, p->scale == 0 ? 1 : 255 * p->scale);
	add_numbers(input, input_size, "minus", channels, p->mean);
	if (divided)
		add_numbers(input, input_size, "divided by", channels, std);
	if (!p->resize) {
		ebb_snprintf(resize, resize_size, "none");
		return;
	}
	ebb_snprintf(resize, resize_size, "%lld", (long long)p->resize);
	if (p->squash)
		ebb_append(resize, resize_size, "x%lld", (long long)p->resize);
	for (int i = 0; i < KINDS; i++)
		if (FILTERS[i].filter == p->filter)
			ebb_append(resize, resize_size, " %s", FILTERS[i].name);
}
