#!/bin/sh
# Installs the library into a temporary directory, and builds programs with it by pkg-config: in C and C++, with
# the shared library, with the static library and shared dependencies, and fully static.
#   install.sh MESON SOURCE BUILD PREFIX LIBDIR
set -eu
meson=$1 source=$2 build=$3 prefix=$4 libdir=$5

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
# Large enough for OpenBLAS.
cat >"$stage/product.c" <<'EOF'
#include <ebb.h>
#include <stdio.h>

int main(void)
{
	ebb_tape *t = ebb_tape_new();
	ebb_tensor *x = ebb_ones(t, EBB_SHAPE(640, 640));

	printf("%.0f\n", ebb_at(ebb_matmul(t, x, x), 0));
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
	ebb_tensor *x = ebb_variable(t, ebb_scalar(t, 3.0));

	ebb_backward(t, ebb_sum(t, ebb_mul(t, x, ebb_sin(t, x)), ebb::keepdim = true), ebb::retain = true);
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
own_include_path_alone() {
	[ "$(package "$@" --cflags | xargs)" = "-I$root/include/ebb" ]
}
product_runs() {
	[ "$(env -u LD_LIBRARY_PATH "$stage/product")" = 640 ]
}
# Checks which libraries default_library=KIND installs.
installs() { # kind, the libraries' names
	"$meson" setup "$stage/$1" "$source" -Ddefault_library="$1" -Ddemos=false -Dbench=false \
		-Dtests=disabled >/dev/null || return 1
	[ "$("$meson" introspect "$stage/$1" --installed | grep -o 'libebb\.\(a\|so\)' |
		sort -u | xargs)" = "$2" ]
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
	if [ -f "$lib/libebb.a" ]; then
		check "$cc, static" "$cc" -std=c11 $warnings $(package --cflags) -o "$stage/user" "$stage/user.c" \
			$(package --static --libs | sed "s| -lebb | $lib/libebb.a |")
		check "$cc, static: the answer" runs
	fi
	for header in $(cd "$root/include/ebb" && find . -name '*.h'); do
		echo "#include \"$header\"" >"$stage/alone.c"
		check "$cc, $header alone" "$cc" -std=c11 $warnings $(package --cflags) -fsyntax-only \
			"$stage/alone.c"
	done
done
# shellcheck disable=SC2046 # flags are meant to split
for cxx in g++ clang++; do
	command -v "$cxx" >/dev/null || continue
	for standard in c++17 c++20; do
		check "$cxx, $standard" "$cxx" -std=$standard -Wall -Wextra -Wpedantic -Werror $(package --cflags) \
			-o "$stage/user" "$stage/user.cpp" $(package --libs)
		check "$cxx, $standard: the answer" runs
	done
	for header in $(cd "$root/include/ebb" && find . -name '*.h' -o -name '*.hpp'); do
		echo "#include \"$header\"" >"$stage/alone.cpp"
		check "$cxx, $header alone" "$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror \
			$(package --cflags) -fsyntax-only "$stage/alone.cpp"
	done
done
# A fully static link, if Ebb and all its dependencies have static libraries.
echo 'int main(void) { return 0; }' >"$stage/nothing.c"
# shellcheck disable=SC2046 # flags are meant to split
if [ -f "$lib/libebb.a" ] &&
	cc -static -o "$stage/nothing" "$stage/nothing.c" $(package --static --libs | sed 's| -lebb | |') 2>/dev/null; then
	check "fully static" cc -static $(package --static --cflags) -o "$stage/product" \
		"$stage/product.c" $(package --static --libs)
	check "fully static: a large product" product_runs
fi
check "include paths" own_include_path_alone
check "include paths for a static link" own_include_path_alone --static
check "default_library=static" installs static "libebb.a"
check "default_library=shared" installs shared "libebb.so"
check "default_library=both" installs both "libebb.a libebb.so"
check "no internal header is installed" no_internal_header
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
