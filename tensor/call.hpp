/*
 * call.hpp - C++17: calls with named options, for the macros of the public headers.
 *
 * In C an option is a designated initialiser, .stride = 2.  In C++ it is ebb::stride = 2, after the
 * positional arguments: ebb_conv2d(t, x, w, b, ebb::stride = 2, ebb::pad_hw = {1, 0}).  Arguments
 * convert as in C, and the call site is added as in C.  An option that the function does not have,
 * a value of another type and too many elements are errors of the compiler.  ebb::make fills a
 * struct that is no function's argument: ebb::make<ebb_op>(ebb::name = "cube").
 *
 * options.hpp lists the names.  They are common words (ebb::size, ebb::format), so a program should
 * not import all of namespace ebb.  Namespace ebb_cxx is internal.
 */
#ifndef EBB_CALL_HPP
#define EBB_CALL_HPP

#include "tensor.h"

#if __cplusplus < 201703L
#error "the headers of Ebb need C++17 (-std=c++17)"
#endif

/* Also inside of extern "C" { #include <ebb.h> } */
extern "C++" {

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ebb_cxx
{

/* ---- Options ----------------------------------------------------------------------------------
 *
 * ebb::NAME is an option<Member>, and ebb::NAME = value is a setting, which is applied to the
 * struct of the call.  Member, which EBB_OPTION defines, selects the member NAME of a struct. */

struct setting_base {
};
template <class T> inline constexpr bool is_setting = std::is_base_of_v<setting_base, T>;

template <class Member, class Value> struct setting : setting_base {
	Value value;
	explicit constexpr setting(Value v) : value(v)
	{
	}
};
/* A list in braces.  The compiler keeps its elements until the end of the call. */
template <class Member, class List> struct list_setting : setting_base {
	const List &list;
	explicit constexpr list_setting(const List &l) : list(l)
	{
	}
};

template <class Member> struct option {
	template <class Value> constexpr auto operator=(Value value) const
	{
		return setting<Member, Value>(value);
	}
	template <class T, std::size_t n> constexpr auto operator=(T (&&list)[n]) const
	{
		return list_setting<Member, T[n]>(list);
	}
	/* Numbers of several types: {0.5, 1} */
	template <std::size_t n> constexpr auto operator=(double (&&list)[n]) const
	{
		return list_setting<Member, double[n]>(list);
	}
	template <class T, std::size_t n, std::size_t m>
	constexpr auto operator=(T (&&list)[n][m]) const
	{
		return list_setting<Member, T[n][m]>(list);
	}
};

/* ---- Conversions ----------------------------------------------------------------------------- */

/* A positional argument, which converts to the type of whatever member it initialises, as in C
 * (braces alone would refuse an int for a double). */
template <class T> struct positional {
	T value;
	template <class M, std::enable_if_t<std::is_convertible_v<T, M>, int> = 0>
	constexpr operator M() const
	{
		return static_cast<M>(value);
	}
	template <class M, std::enable_if_t<std::is_pointer_v<M> && std::is_integral_v<T>, int> = 0>
	constexpr operator M() const
	{
		static_assert(
			sizeof(T) == 0, "a pointer is expected: nullptr instead of NULL or 0");
		return nullptr;
	}
};

/* Whether a value or a list of type From can be assigned to a member of type To. */
template <class From, class To> struct fits_in : std::is_convertible<From, To> {
};
template <class From, std::size_t n, class To, std::size_t most>
struct fits_in<From[n], To[most]> : std::bool_constant<(n <= most) && fits_in<From, To>::value> {
};
template <class From, class To, std::size_t most> struct fits_in<From, To[most]> : std::false_type {
};

template <class To, class From> constexpr void assign(To &to, const From &from)
{
	if constexpr (std::is_array_v<To>) {
		for (std::size_t i = 0; i < std::extent_v<From>; i++)
			assign(to[i], from[i]);
	} else {
		to = static_cast<To>(from);
	}
}

/* ---- Structs of arguments -------------------------------------------------------------------- */

template <class Member, class A, class = void> struct has : std::false_type {
};
template <class Member, class A>
struct has<Member, A, std::void_t<decltype(Member::of(std::declval<A &>()))>> : std::true_type {
};

template <class A, class Member, class From> constexpr void set(A &a, const From &from)
{
	if constexpr (has<Member, A>::value) {
		using To = std::remove_reference_t<decltype(Member::of(a))>;

		Member::template check<true, fits_in<From, To>::value>();
		if constexpr (fits_in<From, To>::value)
			assign(Member::of(a), from);
	} else {
		Member::template check<false, true>();
	}
}
template <class A, class Member, class Value>
constexpr void apply(A &a, const setting<Member, Value> &s)
{
	set<A, Member>(a, s.value);
}
template <class A, class Member, class List>
constexpr void apply(A &a, const list_setting<Member, List> &s)
{
	set<A, Member, List>(a, s.list);
}

/* The number of arguments before the first option. */
template <class... T> constexpr std::size_t count_positional()
{
	std::size_t count = 0;
	[[maybe_unused]] bool before = true;

	((before = before && !is_setting<T>, count += before ? 1 : 0), ...);
	return count;
}

/* Members that are left out are zero: that is meant. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
template <class A, class All, std::size_t... before, std::size_t... after>
constexpr A make(const All &all, std::index_sequence<before...>, std::index_sequence<after...>)
{
	constexpr std::size_t count = sizeof...(before);
	A a{positional<std::decay_t<std::tuple_element_t<before, All>>>{std::get<before>(all)}...};

	static_assert((is_setting<std::decay_t<std::tuple_element_t<count + after, All>>> && ...),
		"positional arguments come before options");
	if constexpr ((is_setting<std::decay_t<std::tuple_element_t<count + after, All>>> && ...))
		(apply(a, std::get<count + after>(all)), ...);
	(void)all;
	return a;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

} /* namespace ebb_cxx */

namespace ebb
{

/* A struct from the values of its first members and options; other members are zero. */
template <class Struct, class... T> constexpr Struct make(T... arguments)
{
	constexpr std::size_t count = ebb_cxx::count_positional<T...>();

	return ebb_cxx::make<Struct>(std::tuple<const T &...>(arguments...),
		std::make_index_sequence<count>{},
		std::make_index_sequence<sizeof...(T) - count>{});
}

} /* namespace ebb */

namespace ebb_cxx
{

/* EBB_CALL_ARGS */
template <class A, class R, class... T>
R call(R (*function)(const A *), const char *site, T... arguments)
{
	A a = ebb::make<A>(arguments...);

	a.site = site;
	return function(&a);
}

/* EBB_CALL_STEP */
template <class A, class R, class S, class... T>
R call_step(
	R (*function)(S *, const A *), const char *site, std::common_type_t<S *> s, T... arguments)
{
	A a = ebb::make<A>(nullptr, nullptr, arguments...);

	a.site = site;
	return function(s, &a);
}

/* EBB_COUNT_ARGS */
template <class... T> std::integral_constant<int, sizeof...(T)> count(T...);

/* EBB_SHAPE, EBB_AXES, EBB_PADS: structs of a count and an array. */
template <class List, class Element, class... T> constexpr List list(T... elements)
{
	return List{static_cast<int>(sizeof...(T)), {static_cast<Element>(elements)...}};
}

} /* namespace ebb_cxx */

/* Defines the option ebb::name, at global scope: for the names of options.hpp, and for other names in
 * a program's own structs of arguments (EBB_CALL_ARGS). */
#define EBB_OPTION(name)                                                                           \
	namespace ebb_cxx                                                                          \
	{                                                                                          \
	struct member_##name {                                                                     \
		template <class A> static constexpr auto of(A &a) -> decltype((a.name))            \
		{                                                                                  \
			return a.name;                                                             \
		}                                                                                  \
		template <bool exists, bool fits> static constexpr void check()                    \
		{                                                                                  \
			static_assert(exists, "this call has no option ebb::" #name);              \
			static_assert(fits, "the option ebb::" #name                               \
					    " takes a value of another type, or fewer elements");  \
		}                                                                                  \
	};                                                                                         \
	}                                                                                          \
	namespace ebb                                                                              \
	{                                                                                          \
	inline constexpr ebb_cxx::option<ebb_cxx::member_##name> name{};                           \
	}
#include "options.hpp"

} /* extern "C++" */

#endif
