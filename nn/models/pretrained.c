/*
 * pretrained.c - loading and saving the weights of a network of the catalogue.
 */
#include "nn/models/internal.h"

#include <stdarg.h>
#include <string.h>

#include "archive/internal.h"
#include "tensor/host.h"

/* ---- What a file says ------------------------------------------------------------------------ */

/* The last part of a path. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The card's weights that the file holds, by its name; NULL if the name does not say. */
static const ebb_model_weights *weights_named(const ebb_model_card *card, const char *path)
{
	const char *file = base_name(path);

	for (int i = 0; i < card->weights_count; i++)
		if (strcmp(file, card->weights[i].file) == 0 ||
			strstr(file, card->weights[i].sha256))
			return &card->weights[i];
	return NULL;
}

/* The name of the network in the metadata; NULL if there is none. */
static const char *model_text(const ebb_archive *a)
{
	static const char torchvision[] = "torchvision ";
	const char *model = ebb_archive_metadata(a, "model");
	const char *names = ebb_archive_metadata(a, "names");

	if (!model && names && strncmp(names, torchvision, sizeof torchvision - 1) == 0)
		model = names + sizeof torchvision - 1;
	return model;
}

const ebb_model_card *ebb_model_card_of(const char *path, ebb_error *e)
{
	const char *site = NULL;
	ebb_archive *a = path ? ebb_archive_read(path, .error = e) : NULL;
	const char *model = a ? model_text(a) : NULL;
	const ebb_model_card *card = ebb_model_card_named(model);
	char shown[80];

	if (!path)
		ebb_error_set(e, EBB_INVALID, NULL, "model_card_of: path is NULL");
	for (int i = 0; a && !model && !card && i < ebb_model_cards(); i++)
		if (weights_named(ebb_model_card_at(i), path))
			card = ebb_model_card_at(i);
	if (a && !card && model)
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: is for \"%s\", a network that the catalogue does not have", path,
			ebb_printable(model, strlen(model), shown, sizeof shown));
	else if (a && !card)
		ebb_error_set(e, EBB_BAD_FILE, NULL,
			"%s: neither metadata nor the file's name say which network it is for",
			path);
	ebb_archive_free(a);
	return card;
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* A file that is being loaded. */
typedef struct loading {
	ebb_model *net;
	const ebb_model_load_args *args;
	const ebb_archive *a;
	const ebb_model_weights *weights; /* by the file's name, else the first; may be NULL */
	ebb_described described;
	char prefix[32];
	char keep[256];
} loading;

static bool refuse(const loading *l, ebb_error *e, const char *format, ...) EBB_PRINTF(3, 4);
static bool refuse(const loading *l, ebb_error *e, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	ebb_vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	ebb_error_set(e, EBB_BAD_FILE, l->args->site, "model_load: %s: %s", l->args->path, text);
	return false;
}

static bool read_metadata(loading *l, ebb_error *e)
{
	const char *model = model_text(l->a), *own = l->net->card->name;
	const char *padded = l->net->card->kind->padded;
	ebb_error why = {0};
	char shown[80];

	if (model && strcmp(model, own) != 0)
		return refuse(l, e, "is for the network \"%s\", expected \"%s\"",
			ebb_printable(model, strlen(model), shown, sizeof shown), own);
	if (!ebb_describe_read(ebb_archive_metadata(l->a, "input"),
		    ebb_archive_metadata(l->a, "resize"), ebb_archive_metadata(l->a, "note"),
		    &l->described, &why))
		return refuse(l, e, "%s", why.message);
	/* Without a head there is no last convolution whose padding could be set. */
	if (*l->described.padded && l->net->classes &&
		(!padded || strcmp(l->described.padded, padded) != 0))
		return refuse(l, e,
			"its metadata note sets the padding of \"%s\", which %s cannot change",
			ebb_printable(l->described.padded, strlen(l->described.padded), shown,
				sizeof shown),
			own);
	return true;
}

/* Finds a prefix that all names have. */
static void find_prefix(loading *l)
{
	static const char *const prefixes[] = {"module.", "state_dict.", "state_dict.module."};
	int64_t n = ebb_archive_count(l->a);

	for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
		int64_t i = 0;

		while (i < n && strncmp(ebb_archive_name_at(l->a, i), prefixes[k],
					strlen(prefixes[k])) == 0)
			i++;
		if (n > 0 && i == n)
			strcpy(l->prefix, prefixes[k]);
	}
}

static bool has_parameter(const ebb_model *net, const char *globs)
{
	for (int64_t i = 0; i < ebb_params_count(net->p); i++)
		if (ebb_globs_match(globs, ebb_params_name_below(net->p, i)))
			return true;
	return false;
}

/* Lists the tensors that are not loaded: a head of its own or none, absent classifiers. */
static void list_kept(loading *l)
{
	const ebb_model_card *card = l->net->card;

	if (l->args->new_head || !l->net->classes)
		ebb_append(l->keep, sizeof l->keep, "%s ", card->head);
	if (card->aux && !has_parameter(l->net, card->aux))
		ebb_append(l->keep, sizeof l->keep, "%s", card->aux);
}

/* The rules that translate the names of the published file, if the file has such names. */
static const ebb_rename *rules_for(const loading *l)
{
	const ebb_rename *rules = l->weights ? l->weights->rename : NULL;
	size_t n = strlen(l->prefix);

	for (int64_t i = 0; rules && i < ebb_archive_count(l->a); i++)
		if (ebb_rename_matches(&rules[0], ebb_archive_name_at(l->a, i) + n))
			return rules;
	return NULL;
}

static bool misfits_in_head(const loading *l, const ebb_load_report *report)
{
	for (int64_t i = 0; i < report->misfit_count; i++) {
		char name[256];

		ebb_snprintf(name, sizeof name, "%.*s", (int)strcspn(report->misfit[i], ":"),
			report->misfit[i]);
		if (ebb_globs_match(l->net->card->head, name))
			return true;
	}
	return false;
}

static bool load_values(loading *l, ebb_error *e)
{
	ebb_load_report report = {0};
	ebb_error why = {0};
	const char *site = NULL;
	bool ok = ebb_params_load(l->net->p, .archive = l->a, .prefix = l->prefix,
		.rename = rules_for(l), .keep = l->keep, .report = &report, .error = &why);

	if (!ok) {
		/* The advice to use .partial is for callers of ebb_params_load. */
		char *advice = strstr(why.message, "; .partial");

		if (advice)
			*advice = '\0';
		ebb_error_set(e, why.status, l->args->site, "model_load: %s: %s%s",
			l->net->card->name, why.message,
			misfits_in_head(l, &report)
				? "; .new_head = true keeps the network's own head"
				: "");
	}
	ebb_load_report_free(&report);
	return ok;
}

/* The convolution whose padding a file can set; NULL if the network has none. */
static ebb_conv *padded_conv(const ebb_model *net)
{
	const ebb_model_kind *kind = net->card->kind;

	return kind->padded && net->classes ? kind->conv(net->net) : NULL;
}

/* Copies the names of the classes into the store's memory, if there is one for each. */
static void take_class_names(loading *l)
{
	const char *text = ebb_archive_metadata(l->a, "classes");
	int64_t n = 1;
	const char **names;
	char *copy;

	if (!text || l->args->new_head || !l->net->classes)
		return;
	for (const char *c = text; *c; c++)
		n += *c == '\n';
	if (n != l->net->classes)
		return;
	copy = (ebb_params_alloc)(l->net->p, strlen(text) + 1, l->args->site);
	names = (ebb_params_alloc)(l->net->p, (size_t)n * sizeof *names, l->args->site);
	if (!copy || !names)
		return;
	strcpy(copy, text);
	for (int64_t i = 0; i < n; i++) {
		names[i] = copy;
		copy += strcspn(copy, "\n");
		if (*copy)
			*copy++ = '\0';
	}
	l->net->class_names = names;
}

static bool load(loading *l, ebb_error *e)
{
	const ebb_model_weights *named = weights_named(l->net->card, l->args->path);

	l->weights = named ? named : l->net->card->weights;
	if (!read_metadata(l, e))
		return false;
	find_prefix(l);
	list_kept(l);
	if (!load_values(l, e))
		return false;
	if (l->described.has_input)
		l->net->preprocess = l->described.preprocess;
	else if (l->weights)
		l->net->preprocess = l->weights->preprocess;
	/* A file without such a note has the network's own padding of 0. */
	if (padded_conv(l->net))
		padded_conv(l->net)->pad = l->described.padding;
	l->net->class_names = NULL;
	take_class_names(l);
	return true;
}

/* Whether the network and the path are given. */
static bool check(
	const char *what, const ebb_model *net, const char *path, const char *site, ebb_error *e)
{
	const ebb_error *fault = net ? ebb_params_error(net->p) : NULL;

	if (!net || !path || (!net->card && !fault))
		ebb_error_set(e, EBB_INVALID, site, "%s: the network or the path is NULL", what);
	else if (fault)
		ebb_error_set(e, fault->status, NULL, "%s", fault->message);
	else
		return true;
	return false;
}

bool(ebb_model_load)(const ebb_model_load_args *args)
{
	loading l = {.net = args->net, .args = args};
	ebb_error *e = ebb_params_error_to(args->net ? args->net->p : NULL, args->error), why = {0};
	const char *site = NULL;
	ebb_archive *a;
	bool ok;

	if (!check("model_load", args->net, args->path, args->site, e))
		return false;
	l.a = a = ebb_archive_read(args->path, .error = &why);
	if (!a)
		ebb_error_set(e, why.status, args->site, "model_load: %s", why.message);
	ok = a && load(&l, e);
	ebb_archive_free(a);
	return ok;
}

/* ---- Saving ---------------------------------------------------------------------------------- */

/* Adds the names of the classes, one per line. */
static bool add_classes(ebb_archive *a, const ebb_model_save_args *args, ebb_error *e)
{
	const char *const *names = args->class_names ? args->class_names : args->net->class_names;
	size_t size = 1, at = 0;
	char *text;
	bool ok;

	if (!names || !args->net->classes)
		return true;
	for (int64_t i = 0; i < args->net->classes; i++) {
		if (!names[i] || strchr(names[i], '\n')) {
			ebb_error_set(e, EBB_INVALID, NULL,
				"the name of class %lld is NULL or has a line break", (long long)i);
			return false;
		}
		size += strlen(names[i]) + 1;
	}
	text = ebb_alloc(size);
	if (!text) {
		ebb_error_set(e, EBB_NO_MEMORY, NULL, "no memory for the names of the classes");
		return false;
	}
	for (int64_t i = 0; i < args->net->classes; i++) {
		size_t n = strlen(names[i]);

		if (i)
			text[at++] = '\n';
		memcpy(text + at, names[i], n);
		at += n;
	}
	text[at] = '\0';
	ok = ebb_archive_set_metadata(a, "classes", text, e);
	ebb_free(text, size);
	return ok;
}

/* Adds the padding that a file can set. */
static bool add_note(ebb_archive *a, const ebb_model *net, ebb_error *e)
{
	const ebb_conv *conv = padded_conv(net);
	char note[200];

	if (!conv)
		return true;
	ebb_snprintf(note, sizeof note, "%s has padding %d", net->card->kind->padded, conv->pad);
	return ebb_archive_set_metadata(a, "note", note, e);
}

static bool add_metadata(ebb_archive *a, const ebb_model_save_args *args, ebb_error *e)
{
	const ebb_model *net = args->net;
	char input[400], resize[60];

	ebb_describe_write(
		&net->preprocess, net->card->side, input, sizeof input, resize, sizeof resize);
	return ebb_archive_set_metadata(a, "format", "pt", e) &&
	       ebb_archive_set_metadata(a, "model", net->card->name, e) &&
	       ebb_archive_set_metadata(a, "input", input, e) &&
	       ebb_archive_set_metadata(a, "resize", resize, e) && add_note(a, net, e) &&
	       add_classes(a, args, e);
}

bool(ebb_model_save)(const ebb_model_save_args *args)
{
	ebb_error *e = ebb_params_error_to(args->net ? args->net->p : NULL, args->error), why = {0};
	const char *site = args->site;
	ebb_archive *a;
	bool ok;

	if (!check("model_save", args->net, args->path, args->site, e))
		return false;
	if (!ebb_ends_in(args->path, ".safetensors")) {
		ebb_error_set(e, EBB_INVALID, args->site,
			"model_save: %s: expected a name that ends in .safetensors, the format "
			"that has metadata",
			args->path);
		return false;
	}
	a = ebb_archive_new();
	ok = a && ebb_params_put_as(args->net->p, a, args->dtype, &why) &&
	     add_metadata(a, args, &why) && ebb_archive_write(a, args->path, .error = &why);
	if (!a)
		ebb_error_set(e, EBB_NO_MEMORY, args->site,
			"model_save: no memory for a list of tensors");
	else if (!ok)
		ebb_error_set(
			e, why.status, args->site, "model_save: %s: %s", args->path, why.message);
	ebb_archive_free(a);
	return ok;
}
