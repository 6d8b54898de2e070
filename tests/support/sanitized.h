/*
 * sanitized.h - whether the address or the thread sanitizer watches: their runs take many times
 * as long, and look for other faults than wrong numbers.
 */
#ifndef EBB_TESTS_SANITIZED_H
#define EBB_TESTS_SANITIZED_H

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* How many of n random cases a test takes: all, or a quarter where a sanitizer watches.  The
 * cases that a test spells out, every instruction set and every type are taken in each. */
#define CASES(n) (SANITIZED ? ((n) + 3) / 4 : (n))

#endif
