#!/bin/sh
# The demos keep what the README promises: finetune exceeds 90 % on 393 photographs of Caltech-101, the same network
# from scratch stays far behind, and classify reads the result.
#   finetune.sh CLASSIFY FINETUNE DATA DIRECTORY [quick]     DIRECTORY receives the photographs; quick: only classify, on one of them
set -eu
classify=$1 finetune=$2 data=$3 directory=$4 quick=${5-}

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
tar xf "$tar" -C "$directory" ${quick:+caltech20/dalmatian/image_0001.jpg}
photograph=$directory/caltech20/dalmatian/image_0001.jpg

# The first class that classify prints is expected to be $1.
says()
{
	expected=$1
	shift
	# shellcheck disable=SC2086 # MESON_EXE_WRAPPER: a command with arguments, for cross builds
	${MESON_EXE_WRAPPER-} "$classify" "$photograph" "$@" >"$directory/classes"
	sed -n '4p' "$directory/classes" | grep -q " $expected" && return
	cat "$directory/classes"
	echo "expected $expected first"
	exit 1
}

says 'dalmatian, coach dog' --model squeezenet1_0 --weights "$weights"
[ -z "$quick" ] || exit 0
# shellcheck disable=SC2086
${MESON_EXE_WRAPPER-} "$finetune" "$directory/caltech20" --weights "$weights" --scratch-epochs 3 \
	--out "$directory/tuned.safetensors" | tee "$directory/output"
says 'dalmatian$' --weights "$directory/tuned.safetensors"

# The percentage before the last column of a row of the table.
percent()
{
	sed -n "s/^$1.* \([0-9.]*\) % *[0-9:]*\$/\1/p" "$directory/output"
}
tuned=$(percent 'pretrained, fine-tuned') scratch=$(percent 'from scratch')
echo "fine-tuned $tuned %, expected 90 or more; from scratch $scratch %, expected less than 60"
awk "BEGIN { exit !($tuned >= 90 && $scratch < 60) }"
