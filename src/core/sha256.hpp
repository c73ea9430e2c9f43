// SHA-256 (FIPS 180-4): names content, as a Content-Security-Policy does.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sslmeme::detail {

std::array<std::uint8_t, 32> sha256(std::string_view message);

}  // namespace sslmeme::detail
