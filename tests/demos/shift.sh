#!/bin/sh
# The demo shift follows the class of a photograph through a trained network: the probability depends on single pixels.
#   shift.sh SHIFT DATA DIRECTORY     DIRECTORY receives the photograph
set -eu
shift_demo=$1 data=$2 directory=$3

tar=$data/caltech/caltech20.tar
weights=$data/weights/squeezenet1_0-deepcompression.safetensors
for file in "$tar" "$weights"; do
	if [ ! -f "$file" ]; then
		echo "skipped: there is no $file"
		exit 77
	fi
done
rm -rf "$directory"
mkdir -p "$directory"
tar xf "$tar" -C "$directory" caltech20/dalmatian/image_0001.jpg
# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
${MESON_EXE_WRAPPER-} "$shift_demo" --image "$directory/caltech20/dalmatian/image_0001.jpg" --weights "$weights" \
	>"$directory/output"
grep 'probability of "dalmatian"' "$directory/output"
# The crops of 227 of 256 pixels.
range=$(sed -n 's/^30 shifts: from \(.*\) to \(.*\) %$/\1 \2/p' "$directory/output")
echo "from ${range% *} to ${range#* } %, expected a range of 20 or more"
awk "BEGIN { exit !(${range#* } - ${range% *} >= 20) }"
