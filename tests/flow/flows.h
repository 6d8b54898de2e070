/* flows.h - flows that the tests of tables and exports fill with numbers. */
#ifndef EBB_TESTS_FLOW_FLOWS_H
#define EBB_TESTS_FLOW_FLOWS_H

#include "flow/instrument/internal.h"
#include "tests/support/support.h"

ebb_flow *flow_new(void);
void flow_free(ebb_flow *f);
/* Both return the index of what they add; a row's .before is the row added before it. */
int add_layer(ebb_flow *f, const char *path);
int add_row(ebb_flow *f, int layer, const char *op, const char *site, ebb_flow_kind kind);
void add_dense(ebb_flow *f, const char *path); /* a layer: linear and sigmoid */
/* A measured step, in which all rows have the numbers of a healthy network; these depend on the
 * row and on the step. */
void add_sample(ebb_flow *f, int64_t step, double loss);
void add_samples(ebb_flow *f, int n); /* the steps 0 to n-1 */
void add_finding(ebb_flow *f, ebb_verdict_kind kind, const char *layer, const char *op,
	const char *site, double value);

/* Networks of dense layers, with their paths by a format such as "fc%d", and ResNet-56. */
ebb_flow *dense_net(int layers, const char *format, int samples);
ebb_flow *resnet(int samples);

#endif
