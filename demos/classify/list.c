/* list.c - the catalogue of networks as a table. */
#include <stdio.h>
#include <unistd.h>

#include "../cli.h"
#include "classify.h"

/* 1234567 as "1,234,567" */
static const char *grouped(char *text, size_t size, int64_t n)
{
	char digits[32];
	int count = snprintf(digits, sizeof digits, "%lld", (long long)n);
	size_t at = 0;

	for (int i = 0; i < count && at + 2 < size; i++) {
		if (i && (count - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

/* In a narrow terminal, each file has a line of its own. */
void print_catalogue(void)
{
	enum { WIDE = 94 };
	colours c = colours_of_stdout();
	int width = cli_width(STDOUT_FILENO);
	const char *gap = width && width < WIDE ? "\n    " : "  ";
	char number[32], line[LONGEST_LINE];

	printf("%s%-20s year   parameters%sSHA-256   file of weights%s\n", c.bold, "network", gap,
		c.off);
	for (int i = 0; i < ebb_model_cards(); i++) {
		const ebb_model_card *card = ebb_model_card_at(i);

		printf("%s%-20s%s %d%13s", c.bold, card->name, c.off, card->year,
			grouped(number, sizeof number, card->parameters));
		if (!card->weights_count)
			printf("%s%snone known%s\n", gap, c.faint, c.off);
		for (int k = 0; k < card->weights_count; k++) {
			const ebb_model_weights *w = &card->weights[k];

			if (k && *gap == ' ')
				printf("%38s", "");
			printf("%s%s  %s\n", k && *gap != ' ' ? gap + 1 : gap, w->sha256, w->file);
			if (w->source) {
				snprintf(line, sizeof line, "from %s", w->source);
				cli_wrap(*gap == ' ' ? 50 : 14, line);
			}
		}
	}
	putchar('\n');
	cli_wrap(0, "SHA-256: the first digits of the file's sum.  Files without a source are "
		    "torchvision's.");
	cli_wrap(0, "To use one: classify IMAGE --model NAME --weights FILE");
}
