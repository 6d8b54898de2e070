/*
 * functions.h - exp, log, erf and functions of them, of one real, without branches.
 *
 * For float the functions are polynomials that compilers vectorize, accurate to about 2 ulp; for
 * double they call libm.  Call them in loops of the constant length EBB_BLOCK: the remainder of
 * another loop might be rounded differently.
 */
#ifndef EBB_KERNELS_FUNCTIONS_H
#define EBB_KERNELS_FUNCTIONS_H

#include "real.h"

#include <math.h>
#include <string.h>

/* The length of the loops that call these functions. */
enum { EBB_BLOCK = 16 };

/* exp(-x) is 0 for x >= EBB_FAR; exp(-by*x^2) is 0 for x >= EBB_FAR_ROOT(by), by 1 or 1/2.  A
 * factor of such an exponential is clamped there, because infinity*0 would be NaN. */
#if EBB_F64
#define EBB_FAR 746.0
#define EBB_FAR_ROOT(by) ((by) < 1 ? 39.0 : 27.5)
#define LIBM(function) function
#else
#define EBB_FAR 105.0f
#define EBB_FAR_ROOT(by) ((by) < 1 ? 14.5f : 10.25f)
#define LIBM(function) function##f
#endif

/* max(x, least) and min(x, most), NaN for a NaN x. */
EBB_INLINE real real_at_least(real x, real least)
{
	return x < least ? least : x;
}

EBB_INLINE real real_at_most(real x, real most)
{
	return x > most ? most : x;
}

/* NaN at -infinity unless b is an integer, where C's pow(-inf, b) is not the limit. */
EBB_INLINE real real_pow(real a, real b)
{
	return a == -INFINITY && LIBM(floor)(b) != b ? NAN : LIBM(pow)(a, b);
}

#if EBB_F64

EBB_INLINE real real_head(real x)
{
	uint64_t u;

	memcpy(&u, &x, sizeof u);
	u &= UINT64_C(0xfffffffff8000000);
	memcpy(&x, &u, sizeof x);
	return x;
}

EBB_INLINE real real_exp(real x)
{
	return exp(x);
}

EBB_INLINE real real_exp_within(real x)
{
	return exp(x);
}

EBB_INLINE real real_exp_down(real x)
{
	return exp(x);
}

/* exp(hi + lo), |lo| < 1e-4 */
EBB_INLINE real real_exp_sum(real hi, real lo)
{
	return exp(hi) * (1 + lo * (1 + lo * (0.5 + lo * (1.0 / 6))));
}

EBB_INLINE real real_expm1(real x)
{
	return expm1(x);
}

EBB_INLINE real real_expm1_any(real x)
{
	return expm1(x);
}

EBB_INLINE real real_log(real x)
{
	return log(x);
}

EBB_INLINE real real_log1p(real x)
{
	return log1p(x);
}

EBB_INLINE real real_log1p_any(real x)
{
	return log1p(x);
}

EBB_INLINE real real_tanh(real x)
{
	return tanh(x);
}

EBB_INLINE real real_abs(real x)
{
	return fabs(x);
}

EBB_INLINE real real_signed(real size, real sign)
{
	return copysign(size, sign);
}

EBB_INLINE real real_sqrt(real x)
{
	return sqrt(x);
}

#else

EBB_INLINE uint32_t real_bits(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	return u;
}

EBB_INLINE float real_of_bits(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof x);
	return x;
}

/* The upper half of the digits of x, whose square is exact. */
EBB_INLINE float real_head(float x)
{
	return real_of_bits(real_bits(x) & 0xfffff000u);
}

EBB_INLINE float real_abs(float x)
{
	return real_of_bits(real_bits(x) & 0x7fffffffu);
}

/* size, which is not negative, with the sign of sign */
EBB_INLINE float real_signed(float size, float sign)
{
	return real_of_bits(real_bits(size) | (real_bits(sign) & 0x80000000u));
}

EBB_INLINE float real_sqrt(float x)
{
	return sqrtf(x);
}

/* x - n*log 2, where n*log 2 is the multiple nearest to near; *bits is n as an integer.  near is in
 * [-150, 150] or NaN. */
EBB_INLINE float real_reduce_exp(float x, float near, uint32_t *bits)
{
	float t = near * 1.44269504f + 12582912.0f; /* 1.5*2^23: adding it rounds */
	float n = t - 12582912.0f;

	*bits = real_bits(t) - 0x4b400000u;
	return (x - n * 0.693359375f) - n * -2.12194440e-4f;
}

/* (exp(r) - 1 - r)/r^2 */
EBB_INLINE float real_exp_tail(float r)
{
	float p = 1.9875691500e-4f;

	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	return p * r + 5.0000001201e-1f;
}

/* x*2^n as x*2^(n/2)*2^(n - n/2), because 2^n may overflow or underflow. */
EBB_INLINE float real_scale(float x, uint32_t n)
{
	uint32_t half = (uint32_t)((int32_t)n >> 1);

	return x * real_of_bits((half + 127u) << 23) * real_of_bits((n - half + 127u) << 23);
}

/* exp(x) for x in [-150, 150]. */
EBB_INLINE float real_exp_within(float x)
{
	uint32_t n;
	float r = real_reduce_exp(x, x, &n);

	return real_scale(1.0f + (r + r * r * real_exp_tail(r)), n);
}

/* exp(x) for x <= 90. */
EBB_INLINE float real_exp_down(float x)
{
	return real_exp_within(real_at_least(x, -EBB_FAR));
}

EBB_INLINE float real_exp(float x)
{
	return real_exp_down(real_at_most(x, 90.0f));
}

/* exp(hi + lo) for a sum in [-150, 150] and small lo, because the exponential of the rounded sum
 * would magnify the rounding. */
EBB_INLINE float real_exp_sum(float hi, float lo)
{
	uint32_t n;
	float r = real_reduce_exp(hi, hi + lo, &n) + lo;

	return real_scale(1.0f + (r + r * r * real_exp_tail(r)), n);
}

/* exp(x) - 1 for x <= 20. */
EBB_INLINE float real_expm1(float x)
{
	uint32_t n;
	float r, s;

	x = x < -30.0f ? -30.0f : x;
	r = real_reduce_exp(x, x, &n);
	s = real_of_bits((n + 127u) << 23);
	return s * (r + r * r * real_exp_tail(r)) + (s - 1.0f);
}

/* exp(x) - 1 for any x; for x > 20 exp(x) is more than 2^24, so the 1 is less than half an ulp. */
EBB_INLINE float real_expm1_any(float x)
{
	float far = real_exp(x), near = real_expm1(x > 20.0f ? 20.0f : x);

	return x > 20.0f ? far : near;
}

EBB_INLINE float real_log(float x)
{
	float tiny = x < 1.17549435e-38f ? 8388608.0f : 1.0f;
	uint32_t u = real_bits(x * tiny) - 0x3f3504f3u; /* sqrt(1/2) */
	float e = (float)((int32_t)u >> 23) - (tiny > 1.0f ? 23.0f : 0.0f);
	float f = real_of_bits((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
	float z = f * f, p = 7.0376836292e-2f, y;

	p = p * f - 1.1514610310e-1f;
	p = p * f + 1.1676998740e-1f;
	p = p * f - 1.2420140846e-1f;
	p = p * f + 1.4249322787e-1f;
	p = p * f - 1.6668057665e-1f;
	p = p * f + 2.0000714765e-1f;
	p = p * f - 2.4999993993e-1f;
	p = p * f + 3.3333331174e-1f;
	y = f * z * p + e * -2.12194440e-4f;
	y = f + (y - 0.5f * z) + e * 0.693359375f;
	y = x == 0.0f ? -INFINITY : y;
	y = x < 0.0f ? NAN : y;
	return x < INFINITY ? y : x; /* NaN and infinity */
}

/* log(1 + x) for x in [0,1]. */
EBB_INLINE float real_log1p(float x)
{
	float u = 1.0f + x;

	return real_log(u) + (x - (u - 1.0f)) / u;
}

/* log(1 + x) for any x.  The rounding error of 1 + x is added to the logarithm, to first order. */
EBB_INLINE float real_log1p_any(float x)
{
	float u = 1.0f + x;
	float lost = ((u > 0.0f) & (u < INFINITY)) ? (x - (u - 1.0f)) / u : 0.0f;

	return real_log(u) + lost;
}

EBB_INLINE float real_tanh(float x)
{
	float t = real_expm1(-2.0f * real_abs(x));
	float y = -t / (t + 2.0f);

	return real_signed(y, x);
}

#endif

/* exp(-by*x^2), by 1 or 1/2.  The square is a sum of two terms, of which the first is exact. */
EBB_INLINE real real_gauss(real x, real by)
{
	real c = real_at_most(real_abs(x), EBB_FAR_ROOT(by)), h = real_head(c);

	return real_exp_sum(-by * (h * h), -by * ((c - h) * (c + h)));
}

/* The error function, and the distribution function of the normal distribution. */
#if EBB_F64

EBB_INLINE real real_erf(real x)
{
	return erf(x);
}

/* erfc(-x/sqrt 2)/2.  erfc magnifies the rounding error of its argument by the square of the
 * argument; in the tail the error is added to first order.  sqrt(1/2) is hi + lo - 4.8e-17, hi
 * of 26 bits. */
EBB_INLINE real real_phi(real x)
{
	const double root = 0.70710678118654752440, hi = 0x1.6a09e6p-1, lo = root - hi;
	double z = -root * x, y = 0.5 * erfc(z), head, tail, lost;

	if (!(z > 1) || y == 0)
		return y;
	head = real_head(x);
	tail = x - head;
	lost = head * hi + z + (head * lo + tail * hi) + tail * lo - 4.8336466567264567e-17 * x;
	return y * (1 + 2 * z * lost);
}

#else

/* exp(a^2/2)*Q(a) for a >= 0, Q(a) = erfc(a/sqrt 2)/2 the upper tail of the normal distribution:
 * t*P(t) with t = 1/(1 + 3a/8).  P is fitted for the least relative error in 0 <= a <= 15, which is
 * 1.4e-8; rounding adds 2.5e-7. */
EBB_INLINE float real_tail_ratio(float a)
{
	float t = 1.0f / (1.0f + 0.375f * a);
	float p = 2.054896929e-2f;

	p = p * t - 1.321711810e-1f;
	p = p * t + 3.407215672e-1f;
	p = p * t - 4.187983175e-1f;
	p = p * t + 2.114802360e-1f;
	p = p * t - 5.411248145e-2f;
	p = p * t + 1.074565576e-1f;
	p = p * t + 1.254107499e-1f;
	p = p * t + 1.498701971e-1f;
	p = p * t + 1.495936960e-1f;
	return p * t;
}

EBB_INLINE float real_erf(float x)
{
	float a = real_abs(x), z = a * a;
	float far = 1.0f - 2.0f * real_gauss(a, 1.0f) * real_tail_ratio(1.41421356f * a);
	float p = -1.0f / 685440.0f, near, y;

	z = a < 0.75f ? z : 0.0f;
	p = p * z + 1.0f / 75600.0f;
	p = p * z - 1.0f / 9360.0f;
	p = p * z + 1.0f / 1320.0f;
	p = p * z - 1.0f / 216.0f;
	p = p * z + 1.0f / 42.0f;
	p = p * z - 1.0f / 10.0f;
	p = p * z + 1.0f / 3.0f;
	near = 1.12837917f * (a - a * z * p);
	y = a < 0.75f ? near : far;
	return real_signed(y, x);
}

EBB_INLINE float real_phi(float x)
{
	float a = real_abs(x), q = real_gauss(a, 0.5f) * real_tail_ratio(a);

	return x > 0.0f ? 1.0f - q : q;
}

#endif

EBB_INLINE real real_sigmoid(real x)
{
	real z = real_exp_down(-real_abs(x));

	return (x >= 0 ? (real)1 : z) / (1 + z);
}

EBB_INLINE real real_softplus(real x)
{
	return (x < 0 ? 0 : x) + real_log1p(real_exp_down(-real_abs(x)));
}

EBB_INLINE real real_silu(real x)
{
	return real_at_least(x, -EBB_FAR) * real_sigmoid(x);
}

/* s*(1 + x*(1 - s)) */
EBB_INLINE real real_silu_slope(real x)
{
	real a = real_at_most(real_abs(x), EBB_FAR), z = real_exp_within(-a), r = 1 / (1 + z);
	real s = (x > 0 ? (real)1 : z) * r, q = (x > 0 ? z : (real)1) * r;

	return s * (1 + real_signed(a, x) * q);
}

EBB_INLINE real real_gelu(real x)
{
	return real_at_least(x, -EBB_FAR_ROOT((real)0.5)) * real_phi(x);
}

/* Phi(x) + x*phi(x), phi the normal density.  For float the exponential of Phi(-a) and phi(a), a =
 * |x|, is a common factor: g = Phi(-a) - a*phi(a) is the slope at -a, and 1 - g that at a. */
EBB_INLINE real real_gelu_slope(real x)
{
	real a = real_at_most(real_abs(x), EBB_FAR_ROOT((real)0.5)), e = real_gauss(a, (real)0.5);
#if EBB_F64
	return real_phi(x) + real_signed(a, x) * (0.39894228040143267794 * e);
#else
	real g = e * (real_tail_ratio(a) - 0.39894228f * a);

	return x > 0 ? 1 - g : g;
#endif
}

/* gelu's tanh approximation x*(1 + tanh u)/2 with u = sqrt(2/pi)*(x + k*x^3).  (1 + tanh u)/2 is
 * computed as sigmoid(2u), which does not cancel where tanh u is near -1. */
#define EBB_GELU_CUBE ((real)0.044715)
#define EBB_GELU_TWICE ((real)1.5957691216057307)

EBB_INLINE real real_gelu_tanh(real x)
{
	return real_at_least(x, -EBB_FAR) *
	       real_sigmoid(EBB_GELU_TWICE * (x + EBB_GELU_CUBE * (x * x * x)));
}

/* s + x*s*(1 - s)*(2u)', s = sigmoid(2u) */
EBB_INLINE real real_gelu_tanh_slope(real x)
{
	real a = real_at_most(real_abs(x), EBB_FAR_ROOT((real)0.5)), a2 = a * a;
	real u = EBB_GELU_TWICE * (a + EBB_GELU_CUBE * (a2 * a));
	real du = EBB_GELU_TWICE * (1 + 3 * EBB_GELU_CUBE * a2);
	real z = real_exp_down(-u), r = 1 / (1 + z);
	real s = (x > 0 ? (real)1 : z) * r, q = (x > 0 ? z : (real)1) * r;

	return s * (1 + real_signed(a, x) * (q * du));
}

/* x*tanh(log(1+e)) with e = exp(x); tanh(log(1+e)) = e(e+2)/(e(e+2)+2), where for x > 0
 * numerator and denominator are divided by e^2. */
EBB_INLINE real real_mish(real x)
{
	real z = real_exp_down(-real_abs(x));
	real above = x > 0 ? 1 + 2 * z : z * (z + 2), below = x > 0 ? 2 * z * z : 2;

	return real_at_least(x, -EBB_FAR) * (above / (above + below));
}

/* u + x*s*(1 - u^2) with u = tanh(softplus x), s = sigmoid x and q = 1 - s; s and q are both
 * computed without cancellation.  u = s(1+q)/(1+q^2), 1 - u^2 = (2q/(1+q^2))^2. */
EBB_INLINE real real_mish_slope(real x)
{
	real a = real_at_most(real_abs(x), EBB_FAR), z = real_exp_within(-a);
	real s = (x > 0 ? (real)1 : z) / (1 + z), q = (x > 0 ? z : (real)1) / (1 + z);
	real r = 1 / (1 + q * q), w = 2 * q * r;

	return s * ((1 + q) * r + real_signed(a, x) * w * w);
}

/* x/(1 + |x|).  |x| is clamped to 2^60, where the quotient is 1. */
EBB_INLINE real real_softsign(real x)
{
	real a = real_at_most(real_abs(x), (real)0x1p60);

	return real_signed(a / (1 + a), x);
}

/* 1/(1 + x^2).  For |x| > 1, r = 1/x and the value is r^2/(1 + r^2). */
EBB_INLINE real real_atan_slope(real x)
{
	bool far = real_abs(x) > 1;
	real r = far ? 1 / x : x, s = 1 / (1 + r * r);

	return far ? r * r * s : s;
}

#endif
