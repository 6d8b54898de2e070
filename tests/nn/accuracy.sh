#!/bin/sh
# Tests the published ResNets on CIFAR-10: on 4,000 training images, which are compressed without loss.  With EBB_ACCURACY=all
# in the environment also on the 10,000 test images, which are JPEGs: that takes a minute more, and needs python3-pil
# and python3-numpy to decode them.
#   accuracy.sh PROGRAM DATA DIRECTORY     the decoded images are kept in DIRECTORY
set -eu
program=$1 data=$2 directory=$3

lossless=$data/cifar10/train_first4000_lossless.bin.xz
if [ ! -f "$lossless" ] || ! command -v xz >/dev/null; then
	echo "skipped: $lossless or xz is missing"
	exit 77
fi
mkdir -p "$directory/lossless" "$directory/jpeg"
[ -f "$directory/lossless/test_batch.bin" ] ||
	xz -dkc "$lossless" >"$directory/lossless/test_batch.bin"
# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
${MESON_EXE_WRAPPER-} "$program" "$data/weights" "$directory/lossless" 3992 4000 3999 4000

if [ "${EBB_ACCURACY-}" != all ]; then
	echo "skipped: the JPEGs, because EBB_ACCURACY=all is not set"
	exit 0
fi
python=/usr/bin/python3
if [ ! -f "$directory/jpeg/test_batch.bin" ]; then
	"$python" -c 'import PIL, numpy' 2>/dev/null || {
		echo "skipped: the JPEGs, because $python has no PIL or no numpy"
		exit 0
	}
	"$python" "$data/cifar10/cifar_jpeg_to_bin.py" "$directory/jpeg" >/dev/null
fi
# shellcheck disable=SC2086
${MESON_EXE_WRAPPER-} "$program" "$data/weights" "$directory/jpeg" 8103 8256 8267 8320
