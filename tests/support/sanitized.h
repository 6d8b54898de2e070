/*
 * sanitized.h - whether this is a build with the address or the thread sanitizer.  Such tests take
 * many times as long, and look for memory errors and data races rather than wrong numbers.
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

/* The number of n random cases that a test runs: all, or a quarter in a sanitizer build.  Cases
 * that a test lists, instruction sets and types are never left out. */
#define CASES(n) (SANITIZED ? ((n) + 3) / 4 : (n))

#endif
