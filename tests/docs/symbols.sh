#!/bin/sh
# Checks that every symbol that the shared library exports begins with ebb_ and is declared in a public header.
#   symbols.sh LIBRARY HEADER...
set -eu
library=$1
shift

passed=0 failed=0
for symbol in $(nm -D --defined-only "$library" | awk '{ print $NF }'); do
	case $symbol in
	ebb_*) grep -qw -- "$symbol" "$@" && passed=$((passed + 1)) && continue ;;
	esac
	failed=$((failed + 1))
	echo "FAILED: $symbol is exported, but no public header declares it"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
