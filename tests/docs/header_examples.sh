#!/bin/sh
# Checks that header_examples.c, which is compiled and run, contains every line of the examples in public headers.
#   header_examples.sh EXAMPLES_C PROGRAM HEADER...
set -eu
source=$1 program=$2
shift 2

tab=$(printf '\t')
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
# Example lines begin with a tab; text two spaces after a statement is a remark, and "..." stands for other code.
sed -n "s/^ \\*${tab}[[:space:]]*//p" "$@" | sed 's/;  .*/;/' | grep -v '^\.\.\.' >"$lines"
passed=0 failed=0
while IFS= read -r line; do
	if grep -qF -- "$line" "$source"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: not in $source: $line"
	fi
done <"$lines"
# In a cross build Meson sets MESON_EXE_WRAPPER to the emulator.
# shellcheck disable=SC2086 # a command with arguments
${MESON_EXE_WRAPPER-} "$program"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
