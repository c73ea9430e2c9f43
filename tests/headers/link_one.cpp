// One of two files that include everything and are linked together: a function in a header that is not inline would be
// defined twice.
#include <sslmeme/fwd.hpp>
#include <sslmeme/sslmeme.hpp>

#include <string_view>

#include "forward_declared.inc"

std::string_view version_in_two();
using ProjectionFunction = sslmeme::Projection (*)(const sslmeme::Projection&);
ProjectionFunction projection_in_two();

int main() {
  // An inline function is one function, wherever it is looked at.
  return version_in_two() == SSLMEME_VERSION && projection_in_two() == &sslmeme::projection ? 0 : 1;
}
