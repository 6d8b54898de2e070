#!/bin/sh
# The published ResNets on CIFAR-10: on the 4,000 training images that are there without loss, and, with EBB_ACCURACY=all
# in the environment and Python to unpack them (python3-pil, python3-numpy), on the 10,000 test images that are
# there as JPEG: a minute more.
#   accuracy.sh PROGRAM DATA DIRECTORY     DIRECTORY keeps what was unpacked
set -eu
program=$1 data=$2 directory=$3

lossless=$data/cifar10/train_first4000_lossless.bin.xz
if [ ! -f "$lossless" ] || ! command -v xz >/dev/null; then
	echo "skipped: there is no $lossless, or no xz"
	exit 77
fi
mkdir -p "$directory/lossless" "$directory/jpeg"
[ -f "$directory/lossless/test_batch.bin" ] ||
	xz -dkc "$lossless" >"$directory/lossless/test_batch.bin"
# shellcheck disable=SC2086 # Meson's way of running programs of another machine
${MESON_EXE_WRAPPER-} "$program" "$data/weights" "$directory/lossless" 3992 4000 3999 4000

if [ "${EBB_ACCURACY-}" != all ]; then
	echo "skipped: the JPEGs, without EBB_ACCURACY=all"
	exit 0
fi
python=/usr/bin/python3
if [ ! -f "$directory/jpeg/test_batch.bin" ]; then
	"$python" -c 'import PIL, numpy' 2>/dev/null || {
		echo "skipped: the JPEGs, as $python has no PIL or no numpy"
		exit 0
	}
	"$python" "$data/cifar10/cifar_jpeg_to_bin.py" "$directory/jpeg" >/dev/null
fi
# shellcheck disable=SC2086
${MESON_EXE_WRAPPER-} "$program" "$data/weights" "$directory/jpeg" 8103 8256 8267 8320
