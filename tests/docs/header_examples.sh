#!/bin/sh
# Every line of example code in the public headers' comments stands in header_examples.c, which is compiled and run.
#   header_examples.sh EXAMPLES_C PROGRAM HEADER...
set -eu
source=$1 program=$2
shift 2

tab=$(printf '\t')
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
# Code is set off by a tab; what follows a statement after two spaces is a remark, and "..." stands for the rest.
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
# Meson says how it runs programs of another machine.
# shellcheck disable=SC2086 # a command with arguments
${MESON_EXE_WRAPPER-} "$program"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
