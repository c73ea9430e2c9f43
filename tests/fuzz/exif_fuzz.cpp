// The orientation in EXIF data.
#include "data/orientation.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto orientation = sslmeme::detail::exif_orientation({data, size});
  sslmeme::fuzz::require(orientation >= 1 && orientation <= 8, "an orientation that EXIF does not have");
  return 0;
}
