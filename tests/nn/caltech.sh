#!/bin/sh
# Tests the published SqueezeNet on 1,183 photographs of Caltech-101.
#   caltech.sh PROGRAM DATA DIRECTORY     the photographs are unpacked in DIRECTORY
set -eu
program=$1 data=$2 directory=$3

tar=$data/caltech/caltech20.tar
weights=$data/weights/squeezenet1_0-deepcompression.safetensors
for file in "$tar" "$weights"; do
	if [ ! -f "$file" ]; then
		echo "skipped: there is no $file"
		exit 77
	fi
done
if [ ! -d "$directory/caltech20" ]; then
	rm -rf "$directory.part"
	mkdir -p "$directory" "$directory.part"
	tar xf "$tar" -C "$directory.part"
	mv "$directory.part/caltech20" "$directory/caltech20"
	rmdir "$directory.part"
fi
# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
${MESON_EXE_WRAPPER-} "$program" "$weights" "$directory/caltech20" 638 908
