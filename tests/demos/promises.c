/* promises.c - the results that the demos reach with their defaults: vanishing gradients in
 * gradflow, the accuracy of lenet, remembering in sequences. */
#include <unistd.h>

#include "run.h"

/* The number after words, in the part of the output that begins with the given line. */
static double number_after(const char *line, const char *words)
{
	char whole[200];

	snprintf(whole, sizeof whole, "\n%s\n", line);
	const char *at = strstr(output, whole);
	ck_assert_msg(at != NULL, "no line \"%s\" in: %s", line, output);
	at = strstr(at, words);
	ck_assert_msg(at != NULL, "no \"%s\" after \"%s\"", words, line);
	return atof(at + strlen(words));
}

START_TEST(the_sigmoid_gradient_vanishes_and_the_residual_one_does_not)
{
	static const char sigmoid[] = "plain, sigmoid", residual[] = "residual, ReLU + batch norm";
	char directory[] = "/tmp/ebb-gradflow-XXXXXX", command[200];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	assert_runs("gradflow --steps 200 --out %s", directory);
	snprintf(command, sizeof command, "rm -r '%s'", directory);
	ck_assert_int_eq(system(command), 0);

	ck_assert(number_after(sigmoid, "largest over smallest norm ") > 1e6);
	ck_assert(number_after(residual, "largest over smallest norm ") < 30);
	double sigmoid_fell = number_after(sigmoid, "loss ") - number_after(sigmoid, " -> ");
	double residual_fell = number_after(residual, "loss ") - number_after(residual, " -> ");
	ck_assert_msg(sigmoid_fell < 0.05, "the sigmoid network's loss fell by %g", sigmoid_fell);
	ck_assert_msg(residual_fell > 1, "the residual network's loss fell by %g", residual_fell);
	/* A sigmoid's slope is at most 1/4, and is to blame: the weights keep the norm. */
	double slope = number_after(sigmoid, "x φ' "), weight = number_after(sigmoid, " W ");
	ck_assert_msg(slope > 0.2 && slope < 0.25, "φ' is %g", slope);
	ck_assert_msg(weight > 0.8 && weight < 1.2, "W is %g", weight);
	assert_says("  Vanishing: the norm of the gradient in the first layers is ");
}
END_TEST

START_TEST(lenet_learns_the_drawn_digits)
{
	double best = 0;

	assert_runs("lenet%s", "");
	for (const char *at = output; (at = strstr(at, "test accuracy ")); at++)
		best = atof(at + strlen("test accuracy ")) > best
		               ? atof(at + strlen("test accuracy "))
		               : best;
	ck_assert_msg(best >= 97, "the best test accuracy is %g %%", best);
}
END_TEST

/* The percentage after words. */
static double percentage(const char *words)
{
	const char *at = strstr(output, words);

	ck_assert_msg(at != NULL, "no \"%s\" in: %s", words, output);
	return atof(at + strlen(words));
}

/* The share of the gradient that is left 99 steps back, after the training of a cell. */
static double share_left(const char *cell)
{
	static const char row[] = "\n          99";
	const char *at = strstr(output, cell);

	at = at ? strstr(at, "after training:") : NULL;
	at = at ? strstr(at, row) : NULL;
	ck_assert_msg(at != NULL, "no share of %s in: %s", cell, output);
	at += strlen(row);
	strtod(at, (char **)&at);
	return strtod(at, NULL);
}

START_TEST(lstm_and_gru_remember_and_the_rnn_does_not)
{
	assert_runs("sequences%s", "");
	ck_assert(percentage("\n  lstm: ") > 95);
	ck_assert(percentage("\n  gru: ") > 95);
	/* The accuracy of a plain rnn is not tested, because it may guess right; but its gradient
	 * vanishes. */
	ck_assert_double_lt(share_left("rnn (gradients of h)"), 1e-10);
	ck_assert_double_gt(share_left("gru (gradients of h)"), 1e-3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("demos promises");
	TCase *c = tcase_create("promises");
	SRunner *runner = srunner_create(s);

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, the_sigmoid_gradient_vanishes_and_the_residual_one_does_not);
	tcase_add_test(c, lenet_learns_the_drawn_digits);
	tcase_add_test(c, lstm_and_gru_remember_and_the_rnn_does_not);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
