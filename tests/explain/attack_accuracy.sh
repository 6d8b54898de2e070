#!/bin/sh
# Attacks the published ResNet-20 on CIFAR-10, and a softmax regression on MNIST.  The images of CIFAR-10 are the first 400
# of the training images that are compressed without loss; with EBB_ATTACK=all in the environment, all 4,000.
#   attack_accuracy.sh PROGRAM DATA DIRECTORY     the decoded images are kept in DIRECTORY
set -eu
program=$1 data=$2 directory=$3

lossless=$data/cifar10/train_first4000_lossless.bin.xz
for file in "$lossless" "$data/weights/resnet20-cifar10.safetensors" "$data/mnist/train-images-idx3-ubyte.gz"; do
	if [ ! -f "$file" ]; then
		echo "skipped: there is no $file"
		exit 77
	fi
done
if ! command -v xz >/dev/null; then
	echo "skipped: there is no xz"
	exit 77
fi
mkdir -p "$directory"
[ -f "$directory/test_batch.bin" ] || {
	xz -dkc "$lossless" >"$directory/part"
	mv "$directory/part" "$directory/test_batch.bin"
}
count=400
[ "${EBB_ATTACK-}" = all ] && count=4000
# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
${MESON_EXE_WRAPPER-} "$program" "$data/weights" "$directory" "$data/mnist" "$count"
