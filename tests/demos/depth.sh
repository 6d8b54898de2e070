#!/bin/sh
# After two epochs on 2,000 images of CIFAR-10, a plain network of 56 layers has a higher training error than one of 20,
# and than a residual one of 56.
#   depth.sh DEPTH DATA DIRECTORY     the decoded images are kept in DIRECTORY
set -eu
depth=$1 data=$2 directory=$3
python=/usr/bin/python3 # Debian's, which has NumPy and Pillow

archive=$data/cifar10/cifar10-jpeg.tar.xz
if [ ! -f "$archive" ]; then
	echo "skipped: there is no $archive"
	exit 77
fi
if ! "$python" -c 'import numpy, PIL' 2>/dev/null; then
	echo "skipped: there is no NumPy or Pillow"
	exit 77
fi
mkdir -p "$directory"
[ -f "$directory/batches.meta.txt" ] || "$python" "$data/cifar10/cifar_jpeg_to_bin.py" "$directory"
rm -rf "$directory/depth"
# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
${MESON_EXE_WRAPPER-} "$depth" --data "$directory" --depths 20,56 --limit 2000 --test 200 --epochs 2 \
	--out "$directory/depth" | tee "$directory/output"
grep -q '^Plain networks: the training error with 56 layers is higher than with 20 in 1 seed\.' "$directory/output"
awk '$1 == 56 { exit !($2 > $3 + 5) }' "$directory/output" || {
	echo "expected a plain training error well above the residual one"
	exit 1
}
