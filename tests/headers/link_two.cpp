#include <sslmeme/sslmeme.hpp>

#include <string_view>

using ProjectionFunction = sslmeme::Projection (*)(const sslmeme::Projection&);

std::string_view version_in_two() {
  return SSLMEME_VERSION;
}
ProjectionFunction projection_in_two() {
  return &sslmeme::projection;
}
