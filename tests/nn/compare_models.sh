#!/bin/sh
# Compares the networks of the catalogue with torchvision's (compare_models.py): compare_models.sh PROGRAM [NAME...]
set -eu
program=$1
shift

if [ ! -x /usr/bin/python3 ]; then
	echo "skipped: there is no /usr/bin/python3"
	exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
/usr/bin/python3 "$(dirname "$0")/compare_models.py" "$program" "$directory" "$@"
