// Undoing the filters of PNG (PNG specification, 3rd edition, chapter 9), made for several instruction sets, of which
// the best is taken at run time (Google Highway). Results are the same on all of them and without Highway.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sslmeme::detail {

/// Undoes filter 0 … 4 of a row of n bytes, pixels of 1, 3 or 4 bytes: `out` from `in` and the row `above`, zeros for
/// the first. `out` may begin before `in` and reach into it, but neither be it nor begin behind it. False, with `out`
/// untouched, for another filter.
bool unfilter_row(int filter, std::size_t pixel_bytes, const std::uint8_t* in, const std::uint8_t* above, std::size_t n,
                  std::uint8_t* out);

}  // namespace sslmeme::detail
