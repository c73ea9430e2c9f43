// From the demo's fits on disk to its table and report.
#pragma once

#include "support/demo_fits.hpp"

#include <sslmeme/eval/report.hpp>

namespace examples {

/// Table, loss curves, ROC curves and galleries over all seeds. seconds: how long training took.
sm::Report demo_report(const DemoOptions& options, int seeds, double seconds);

}  // namespace examples
