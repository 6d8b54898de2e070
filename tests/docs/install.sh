#!/bin/sh
# Installs into a temporary directory and uses the library from there as a stranger would: through
# pkg-config, in C and C++, shared, and static with shared dependencies.
#   install.sh MESON BUILD PREFIX LIBDIR
set -eu
meson=$1 build=$2 prefix=$3 libdir=$4

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage/root "$meson" install -C "$build" --no-rebuild --quiet >/dev/null
root=$stage/root$prefix
lib=$root/$libdir

package() {
	PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --define-variable=prefix="$root" "$@" ebb
}

cat >"$stage/user.c" <<'EOF'
#include <ebb.h>
#include <stdio.h>

int main(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 3.0));

	ebb_backward(t, ebb_mul(t, x, ebb_sin(t, x)));
	printf("%.4f\n", ebb_item(ebb_grad_of(x)));
	ebb_tape_free(t);
	return 0;
}
EOF
cat >"$stage/user.cpp" <<'EOF'
#include <ebb.h>
#include <cstdio>

int main()
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 3.0, nullptr), nullptr);
	ebb_backward_args a{};

	a.t = t;
	a.y = ebb_mul(t, x, ebb_sin(t, x, nullptr), nullptr);
	ebb_backward(&a);
	std::printf("%.4f\n", ebb_item(ebb_grad_of(x)));
	ebb_tape_free(t);
}
EOF

passed=0 failed=0
check() { # what, command...
	what=$1
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'FAILED: %s\n%s\n' "$what" "$output"
	fi
}
runs() { # the derivative of x sin x at 3
	[ "$(LD_LIBRARY_PATH=$lib "$stage/user")" = -2.8289 ]
}
no_internal_header() {
	[ -z "$(find "$root/include/ebb" -name 'kernels.h' -o -name 'internal.h')" ]
}

warnings='-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror'
# shellcheck disable=SC2046,SC2086 # flags are meant to split
for cc in gcc clang; do
	command -v "$cc" >/dev/null || continue
	check "$cc, shared" "$cc" -std=c11 $warnings $(package --cflags) -o "$stage/user" "$stage/user.c" \
		$(package --libs)
	check "$cc, shared: the answer" runs
	check "$cc, static" "$cc" -std=c11 $warnings $(package --cflags) -o "$stage/user" "$stage/user.c" \
		"$lib/libebb.a" $(pkg-config --libs $(package --print-requires-private)) -lm -pthread
	check "$cc, static: the answer" runs
	for header in $(cd "$root/include/ebb" && find . -name '*.h'); do
		echo "#include \"$header\"" >"$stage/alone.c"
		check "$cc, $header alone" "$cc" -std=c11 $warnings $(package --cflags) -fsyntax-only \
			"$stage/alone.c"
	done
done
# shellcheck disable=SC2046 # flags are meant to split
for cxx in g++ clang++; do
	command -v "$cxx" >/dev/null || continue
	check "$cxx" "$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror $(package --cflags) \
		-o "$stage/user" "$stage/user.cpp" $(package --libs)
	check "$cxx: the answer" runs
	for header in $(cd "$root/include/ebb" && find . -name '*.h'); do
		echo "#include \"$header\"" >"$stage/alone.cpp"
		check "$cxx, $header alone" "$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror \
			$(package --cflags) -fsyntax-only "$stage/alone.cpp"
	done
done
check "no internal header is installed" no_internal_header
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
