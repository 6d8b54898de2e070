#!/bin/sh
# Ebb reads files of the safetensors library and writes copies, as one file and in shards; the library must read the
# same from both.  PyTorch's ResNet must load the parameters of Ebb's.
#   with_safetensors.sh SCRIPT REWRITE
# The library is a Python package, in this system, or in the chroot that TORCH26 names (needs root).
set -eu
script=$1 rewrite=$2
chroot=${TORCH26-}

work=$(mktemp -d)
inside=$work
python() {
	/usr/bin/python3 "$@"
}
if ! python -c 'import safetensors, numpy' 2>/dev/null && [ -n "$chroot" ] && [ "$(id -u)" = 0 ]; then
	rmdir "$work"
	work=$(mktemp -d "$chroot/tmp/ebb-XXXXXX")
	inside=/tmp/${work##*/}
	python() {
		chroot "$chroot" /usr/bin/python3 "$@"
	}
fi
trap 'rm -rf "$work"' EXIT
cp "$script" "$work/script.py"

python "$inside/script.py" write "$inside"
for kind in numpy torch; do
	[ -f "$work/theirs-$kind.safetensors" ] || continue
	"$rewrite" "$work/theirs-$kind.safetensors" "$work/ours-$kind.safetensors"
	"$rewrite" "$work/theirs-$kind.safetensors" "$work/sharded-$kind.safetensors" shards
done
"$rewrite" resnet18 "$work/resnet18.safetensors"
python "$inside/script.py" read "$inside"
