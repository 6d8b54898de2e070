/*
 * environment.c - reads EBB_THREADS, EBB_ISA, EBB_CONV and EBB_DEBUG from the environment.  An
 * empty value counts as not set.  An invalid value is ignored, and ebb_environment_complaint
 * describes it.
 */
#include "environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const switches[] = {"0", "1", NULL};
static const char *const isas[] = {"baseline", "avx2", "avx512", NULL};
/* In the order of ebb_conv_choice, from EBB_CONV_DIRECT on. */
static const char *const algorithms[] = {"direct", "winograd", "im2col", NULL};
_Static_assert(sizeof algorithms / sizeof algorithms[0] == EBB_CONV_IM2COL + 1,
	"one name for each ebb_conv_choice but EBB_CONV_BY_SHAPE");

static const char *value_of(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : NULL;
}

static bool is_known(const char *variable, const char *const *names, int *place)
{
	const char *value = value_of(variable);

	*place = -1;
	for (int i = 0; value && names[i]; i++)
		if (strcmp(value, names[i]) == 0)
			*place = i;
	return !value || *place >= 0;
}

static bool is_number(const char *variable, int most, int *number)
{
	const char *value = value_of(variable);
	size_t digits = value ? strspn(value, "0123456789") : 0;

	*number = 0;
	if (!value)
		return true;
	for (size_t i = 0; i < digits && *number <= most; i++)
		*number = 10 * *number + (value[i] - '0');
	if (!value[digits] && *number >= 1 && *number <= most)
		return true;
	*number = 0;
	return false;
}

int ebb_environment_threads(void)
{
	int number;

	is_number("EBB_THREADS", EBB_MOST_THREADS, &number);
	return number;
}

const char *ebb_environment_isa(void)
{
	int place;

	is_known("EBB_ISA", isas, &place);
	return place < 0 ? NULL : isas[place];
}

ebb_conv_choice ebb_environment_conv(void)
{
	int place;

	is_known("EBB_CONV", algorithms, &place);
	return place < 0 ? EBB_CONV_BY_SHAPE : (ebb_conv_choice)(EBB_CONV_DIRECT + place);
}

int ebb_environment_debug(void)
{
	int place;

	is_known("EBB_DEBUG", switches, &place);
	return place;
}

bool ebb_environment_complaint(char *text, size_t size)
{
	const char *variable, *expected;
	char range[60];
	int ignored;

	snprintf(range, sizeof range, "a whole number from 1 to %d", EBB_MOST_THREADS);
	if (!is_number(variable = "EBB_THREADS", EBB_MOST_THREADS, &ignored))
		expected = range;
	else if (!is_known(variable = "EBB_ISA", isas, &ignored))
		expected = "baseline, avx2 or avx512";
	else if (!is_known(variable = "EBB_CONV", algorithms, &ignored))
		expected = "direct, winograd or im2col";
	else if (!is_known(variable = "EBB_DEBUG", switches, &ignored))
		expected = "0 or 1";
	else
		return false;
	snprintf(text, size, "%s in the environment is \"%.40s\", expected %s", variable,
		value_of(variable), expected);
	return true;
}
