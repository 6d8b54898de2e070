/* verdict.c - the fit of the gradient's decay with depth, and the verdict's sentence. */
#include "tensor/host.h"
#include "flow/internal.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

bool ebb_decay_fit(int n, const double *norm, ebb_decay *d)
{
	if (n < 1 || !norm || !d)
		return false;
	*d = (ebb_decay){.factor = NAN, .end_to_end = NAN, .spread = NAN, .r2 = NAN, .layers = n};
	double mean_k = 0, mean_log = 0, lo = INFINITY, hi = 0;
	for (int k = 0; k < n; k++) {
		if (!isfinite(norm[k]) || norm[k] < 0) {
			d->not_finite++;
			continue;
		}
		if (norm[k] == 0) {
			d->zeros++;
			continue;
		}
		d->used++;
		mean_k += (k - mean_k) / d->used;
		mean_log += (log(norm[k]) - mean_log) / d->used;
		lo = fmin(lo, norm[k]);
		hi = fmax(hi, norm[k]);
	}
	if (d->used > 0)
		d->spread = hi / lo;
	if (d->used < 2)
		return true;

	double kk = 0, kl = 0, ll = 0;
	for (int k = 0; k < n; k++) {
		if (!isfinite(norm[k]) || norm[k] <= 0)
			continue;
		double dk = k - mean_k, dl = log(norm[k]) - mean_log;
		kk += dk * dk;
		kl += dk * dl;
		ll += dl * dl;
	}
	double slope = kl / kk;
	d->factor = exp(-slope);
	d->end_to_end = exp(-slope * (n - 1));
	d->r2 = ll > 0 ? kl * kl / (kk * ll) : 1;
	return true;
}

const char *ebb_verdict_name(ebb_verdict_kind kind)
{
	switch (kind) {
	case EBB_VERDICT_HEALTHY:
		return "healthy";
	case EBB_VERDICT_VANISHING:
		return "vanishing";
	case EBB_VERDICT_EXPLODING:
		return "exploding";
	case EBB_VERDICT_DEAD:
		return "dead units";
	case EBB_VERDICT_SATURATED:
		return "saturated";
	case EBB_VERDICT_NOT_FINITE:
		return "not finite";
	}
	return "unknown";
}

const char *ebb_pretty(char *buffer, size_t size, double x)
{
	double a = fabs(x);

	if (isnan(x)) {
		snprintf(buffer, size, "-");
		return buffer;
	}
	bool scientific = a != 0 && (a < 0.001 || a >= 1e4);
	ebb_number(buffer, size,
		scientific ? "%.1e"
		: a >= 100 ? "%.0f"
		: a < 0.1  ? "%.2g"
			   : "%.3g",
		x);
	char *exponent = scientific ? strchr(buffer, 'e') : NULL;
	if (exponent && isfinite(x)) { /* 4.3e14 for 4.3e+14, 2e-5 for 2e-05 */
		char *from = exponent + 2, *to = exponent[1] == '-' ? exponent + 2 : exponent + 1;
		from += strspn(from, "0");
		memmove(to, from, strlen(from) + 1);
	}
	return buffer;
}

double ebb_log_share(double v, double lo, double hi)
{
	/* Quotients of v, lo and hi may overflow or underflow; logarithms do not. */
	return hi > lo ? (log(v) - log(lo)) / (log(hi) - log(lo)) : 1;
}

static void say(ebb_verdict *v, const char *format, ...) EBB_PRINTF(2, 3);

static void say(ebb_verdict *v, const char *format, ...)
{
	size_t n = strlen(v->sentence);
	va_list args;

	va_start(args, format);
	ebb_format_v(v->sentence + n, sizeof v->sentence - n, format, args);
	va_end(args);
}

static const char *layers_word(int n)
{
	return n == 1 ? "layer" : "layers";
}

static void say_gradient(ebb_verdict *v, int n)
{
	const ebb_decay *d = &v->decay;
	char factor[32], times[32];
	bool fades = d->end_to_end < 1;

	ebb_pretty(factor, sizeof factor, d->factor);
	ebb_pretty(times, sizeof times, fades ? 1 / d->end_to_end : d->end_to_end);
	switch (v->kind) {
	case EBB_VERDICT_NOT_FINITE:
		say(v, "not finite: NaN or infinity in activations or gradients");
		return;
	case EBB_VERDICT_VANISHING:
		say(v, "vanishing: ");
		if (!fades) { /* zeros alone: the fitted line rises, or there is none */
			say(v, "the gradient is exactly zero in %d of %d %s", d->zeros, n,
				layers_word(n));
			return;
		}
		say(v, "each layer multiplies the gradient by %s, %s-fold less over %d layers",
			factor, times, n);
		if (d->zeros)
			say(v, ", and exactly zero in %d", d->zeros);
		else
			say(v, ", so the first layers barely learn");
		return;
	case EBB_VERDICT_EXPLODING:
		say(v,
			"exploding: each layer multiplies the gradient by %s, %s-fold more over %d "
			"layers",
			factor, times, n);
		return;
	case EBB_VERDICT_HEALTHY:
	case EBB_VERDICT_DEAD:
	case EBB_VERDICT_SATURATED:
		say(v, "%s: ", ebb_verdict_name(v->kind));
		if (d->used < 2)
			say(v, "a single gradient norm shows no decay");
		else
			say(v,
				"the gradient passes %d layers at a factor of %s each, %s-fold %s "
				"end to end",
				n, factor, times, fades ? "less" : "more");
		return;
	}
}

bool ebb_judge(
	int n, const ebb_layer_summary *layers, const ebb_verdict_limits *limits, ebb_verdict *v)
{
	ebb_verdict_limits l = limits ? *limits : (ebb_verdict_limits){0};

	if (n < 1 || !layers || !v)
		return false;
	l.vanishing = l.vanishing != 0 ? l.vanishing : 1e-3;
	l.exploding = l.exploding != 0 ? l.exploding : 1e3;
	l.dead = l.dead != 0 ? l.dead : 0.9;
	l.saturated = l.saturated != 0 ? l.saturated : 0.5;

	*v = (ebb_verdict){0};
	size_t bytes = (size_t)n * sizeof(double);
	double *norm = ebb_alloc(bytes);
	if (!norm)
		return false;
	bool finite = true;
	for (int i = 0; i < n; i++) {
		norm[i] = layers[i].grad_l2;
		finite = finite && isfinite(norm[i]) && layers[i].nan == 0;
		v->dead_layers += layers[i].zeros > l.dead;
		v->saturated_layers += layers[i].saturated > l.saturated;
	}
	ebb_decay_fit(n, norm, &v->decay);
	ebb_free(norm, bytes);

	if (!finite)
		v->kind = EBB_VERDICT_NOT_FINITE;
	else if (v->decay.zeros > 0 || v->decay.end_to_end < l.vanishing)
		v->kind = EBB_VERDICT_VANISHING;
	else if (v->decay.end_to_end > l.exploding)
		v->kind = EBB_VERDICT_EXPLODING;
	else if (v->dead_layers)
		v->kind = EBB_VERDICT_DEAD;
	else if (v->saturated_layers)
		v->kind = EBB_VERDICT_SATURATED;

	say_gradient(v, n);
	char share[32];
	if (v->dead_layers)
		say(v, "; more than %s %% zeros in %d %s",
			ebb_pretty(share, sizeof share, 100 * l.dead), v->dead_layers,
			layers_word(v->dead_layers));
	if (v->saturated_layers)
		say(v, "; more than %s %% of the units saturated in %d %s",
			ebb_pretty(share, sizeof share, 100 * l.saturated), v->saturated_layers,
			layers_word(v->saturated_layers));
	say(v, ".");
	v->sentence[0] = (char)toupper((unsigned char)v->sentence[0]);
	return true;
}

ebb_finding ebb_find_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v)
{
	int n = 0, with_gradient = 0;
	size_t bytes = 0;
	ebb_layer_summary *s = ebb_summaries(p, from, to, &n, &bytes);

	if (!s)
		return bytes ? EBB_NO_MEMORY_TO_LOOK : EBB_NOTHING_SAMPLED;
	/* Layers that no backward pass reaches are left out of the fit. */
	for (int i = 0; i < n; i++)
		if (!isnan(s[i].grad_l2) || s[i].nan)
			s[with_gradient++] = s[i];
	ebb_finding found = EBB_NOTHING_SAMPLED;
	if (with_gradient)
		found = ebb_judge(with_gradient, s, limits, v) ? EBB_FOUND : EBB_NO_MEMORY_TO_LOOK;
	ebb_free(s, bytes);
	return found;
}

bool ebb_probe_verdict(const ebb_probe *p, int64_t from, int64_t to,
	const ebb_verdict_limits *limits, ebb_verdict *v)
{
	return p && v && ebb_find_verdict(p, from, to, limits, v) == EBB_FOUND;
}
