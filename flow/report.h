/* report.h - what the files of the report share: report.c, report_flow.c. */
#ifndef EBB_FLOW_REPORT_H
#define EBB_FLOW_REPORT_H

#include "flow/internal.h"

/* ---- report.c ---- */

/* open and close are markup, content is text; nothing if content is NULL. */
void ebb_html_element(ebb_text *t, const char *open, const char *content, const char *close);
void ebb_html_number(ebb_text *t, double x); /* as ebb_pretty */
void ebb_html_cell(ebb_text *t, double x);   /* a number in a table */
/* The cell of a gradient's norm with a bar between lo and hi on a log scale. */
void ebb_html_bar_cell(ebb_text *t, double norm, double lo, double hi);
/* The kind of a verdict, coloured by how bad it is, in an element such as "div". */
void ebb_html_kind(ebb_text *t, const char *element, ebb_verdict_kind kind);

/* ---- report_flow.c: a network with an instrument ---- */

/* What the network's card says between its name and its loss.  False with an error without
 * memory. */
bool ebb_report_flow_card(ebb_text *t, const ebb_report_network *n, ebb_error *e);
bool ebb_report_flow_table(ebb_text *t, const ebb_report_network *n, ebb_error *e);
/* The remark above the tables of such networks. */
extern const char ebb_report_flow_note[];

#endif
