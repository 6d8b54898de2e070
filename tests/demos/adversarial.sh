#!/bin/sh
# A photograph of a dalmatian, which SqueezeNet recognises, is changed by at most 8 levels; classify, and torchvision where
# there is one, see the chosen class in the PNG file.
#   adversarial.sh ADVERSARIAL CLASSIFY CHECK_PY DATA DIRECTORY     DIRECTORY receives the photograph and the results
set -eu
adversarial=$1 classify=$2 check=$3 data=$4 directory=$5

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
photograph=$directory/caltech20/dalmatian/image_0001.jpg

# The class that classify prints first for $1 is expected to be $2, with more than $3 %.
says()
{
	# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
	${MESON_EXE_WRAPPER-} "$classify" "$1" --weights "$weights" >"$directory/classes"
	sed -n '4p' "$directory/classes"
	sed -n '4p' "$directory/classes" | grep -q " $2" || {
		echo "expected $2 first"
		exit 1
	}
	percent=$(sed -n '4s/^ *\([0-9.]*\) %.*/\1/p' "$directory/classes")
	awk "BEGIN { exit !($percent > $3) }" || {
		echo "expected more than $3 %"
		exit 1
	}
}

says "$photograph" dalmatian 50
for target in toaster ostrich 'grand piano'; do
	out=$directory/$target
	# shellcheck disable=SC2086
	${MESON_EXE_WRAPPER-} "$adversarial" "$photograph" --weights "$weights" --target "$target" --out "$out"
	says "$out/adversarial.png" "$target" 90
done

python=/usr/bin/python3
if ! "$python" -c 'import PIL, torchvision' 2>/dev/null; then
	echo "not compared with torchvision: $python has no PIL or no torchvision"
	exit 0
fi
for target in toaster ostrich 'grand piano'; do
	"$python" -B "$check" "$weights" "$data/weights/imagenet-classes.txt" "$photograph" \
		"$directory/$target/adversarial.png" "$target"
done
