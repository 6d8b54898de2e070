#!/bin/sh
# Compares Ebb with the golden vectors of the repository.  If an op has no vectors and PyTorch is installed,
# script/golden first makes them in the build directory.  Without PyTorch such an op fails.
#   small.sh GOLDEN SOURCE_DIR BUILD_DIR
set -eu

golden="${MESON_EXE_WRAPPER-} $1"
vectors=$2/tests/golden/vectors
# shellcheck disable=SC2086 # the wrapper is a command with arguments
missing=$($golden --missing "$vectors")
# shellcheck disable=SC2086
[ -n "$missing" ] || exec $golden --complete "$vectors"

made=$(mktemp -d "$3/golden-XXXXXX")
trap 'rm -rf "$made"' EXIT
# shellcheck disable=SC2086 # one argument for each op
if "$2/script/golden" --out "$made" $missing; then
	echo "tested with vectors made for this run; to keep them, run: script/golden" $missing
fi
# shellcheck disable=SC2086
$golden --complete "$vectors" "$made"
