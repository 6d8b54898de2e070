/* write.c - the network writes: it draws one character after the other. */
#include "chars.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"

/* Draws a token [1] with the probabilities softmax(logits/temperature), of the k tokens with the
 * largest logits; logits [V].  Temperature 0 is that of k = 1. */
static ebb_tensor *draw(ebb_tape *t, const settings *s, ebb_tensor *logits)
{
	int64_t size = ebb_count(logits), k = s->top_k && s->top_k < size ? s->top_k : size;
	ebb_tensor *token, *y = ebb_topk(t, logits, s->temperature > 0 ? k : 1, .index = &token);

	/* The largest logit is subtracted first, so that a low temperature cannot overflow. */
	y = ebb_sub(t, y, ebb_slice(t, y, 0, 0, 1, 1));
	y = ebb_softmax(t, ebb_mul_scalar(t, y, 1 / fmax(s->temperature, 1e-6)), 0);
	return ebb_index_select(t, token, 0, ebb_multinomial(t, y, 1));
}

/* Feeds n tokens to the network, which has those before them in its cache, and draws the next one.
 * -1 on an error. */
static int64_t next_token(ebb_tape *t, const settings *s, const ebb_gpt *net, ebb_gpt_cache *c,
	const int64_t *token, int64_t n)
{
	ebb_tensor *y = ebb_gpt_forward(t, net, ebb_from_i64(t, EBB_SHAPE(n), token), .cache = c);
	ebb_tensor *last =
		ebb_reshape(t, ebb_slice(t, y, 0, n - 1, n, 1), EBB_SHAPE(net->vocabulary));
	int64_t drawn = (int64_t)ebb_item(draw(t, s, last));

	ebb_tape_reset(t);
	return said_ok(ebb_first_error(t)) ? drawn : -1;
}

/* Writes a character, but a '?' for a control character or a byte outside of UTF-8, which could
 * disturb a terminal, and nothing for a carriage return. */
static void put(const ebb_vocabulary *v, int64_t token)
{
	char text[5];
	const unsigned char *c = (const unsigned char *)ebb_vocabulary_text(v, token, text);
	bool control = (*c < ' ' && *c != '\n' && *c != '\t') || *c == 127 ||
	               (*c >= 0x80 && !c[1]) || (*c == 0xC2 && c[1] < 0xA0);

	if (*c != '\r')
		fputs(control ? "?" : text, stdout);
}

ebb_tensor *read_prompt(const settings *s, const ebb_vocabulary *v)
{
	ebb_error e = {0};
	const char *text = s->prompt ? s->prompt : "\n";
	ebb_tensor *x = ebb_vocabulary_encode(v, text, (int64_t)strlen(text), &e);

	if (!x && !s->prompt) {
		e = (ebb_error){0};
		x = ebb_tensor_new(EBB_I64, EBB_SHAPE(1), false, &e); /* token 0 */
	}
	if (!x)
		fprintf(stderr, "--prompt: %s\n", e.message);
	return x;
}

/* Continues n tokens.  When the context is full, the network begins anew with its second half. */
static bool write_tokens(
	settings *s, const ebb_gpt *net, const ebb_vocabulary *v, int64_t *token, int64_t n)
{
	int64_t end = n + s->length, half = (net->context + 1) / 2;
	int64_t fed = n > net->context ? n - net->context : 0;
	ebb_error e = {0};
	ebb_gpt_cache *c = ebb_gpt_cache_new(net, 1, &e);
	ebb_tape *t = ebb_tape_new();
	bool ok = said_ok(c ? NULL : &e);

	ebb_set_recording(t, false);
	ebb_set_training(t, false);
	ebb_seed(t, s->seed + 2);
	for (int64_t i = 0; ok && s->prompt && i < n; i++)
		put(v, token[i]);
	for (; ok && n < end && !s->keep.ended; n++) {
		if (ebb_gpt_cache_length(c) + n - fed > net->context) {
			ebb_gpt_cache_truncate(c, 0);
			fed = n - half;
		}
		token[n] = next_token(t, s, net, c, token + fed, n - fed);
		fed = n;
		ok = token[n] >= 0;
		if (ok)
			put(v, token[n]);
		fflush(stdout);
		s->keep.ended = cli_caught_signal() != 0;
	}
	putchar('\n');
	ebb_tape_free(t);
	ebb_gpt_cache_free(c);
	return ok;
}

bool write_sample(settings *s, const ebb_gpt *net, const ebb_vocabulary *v)
{
	ebb_tensor *prompt = read_prompt(s, v);
	int64_t n = prompt ? ebb_count(prompt) : 0;
	int64_t *token = malloc((size_t)(n + s->length) * sizeof *token);
	bool ok = prompt && token && ebb_copy_out(prompt, token, (size_t)n * sizeof *token);

	if (prompt && !token)
		fprintf(stderr, "--length %lld: no memory\n", (long long)s->length);
	ok = ok && write_tokens(s, net, v, token, n);
	ebb_tensor_free(prompt);
	free(token);
	return ok;
}
