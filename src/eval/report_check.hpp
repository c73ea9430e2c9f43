// What a report must hold to before anything of it is written.
#pragma once

#include <sslmeme/eval/report.hpp>

namespace sslmeme::detail {

/// Throws InvalidArgument, as write_report() promises.
void check(const Report& report);

}  // namespace sslmeme::detail
