// A target with a bug to find, by which the driver is tested.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  if (input.find("BUG") != std::string_view::npos) std::abort();
  return 0;
}
