#!/bin/sh
# Checks that every symbol that the shared library exports begins with ebb_ and is declared in a public header, and that
# the functions that public headers declare are exported.
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
# The reverse: a function that a header declares as EBB_API on one line is exported.
exported=$(nm -D --defined-only "$library" | awk '{ print $NF }')
declared=$(sed -n 's/^EBB_API [^(]*\(ebb_[a-z0-9_]*\)(.*/\1/p' "$@" | sort -u)
for name in $declared; do
	if echo "$exported" | grep -qx -- "$name"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $name is declared as EBB_API, but is not exported"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
