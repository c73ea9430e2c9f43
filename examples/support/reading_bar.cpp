#include "support/reading_bar.hpp"

#include <sslmeme/train/progress.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <string>

namespace examples {

std::function<void(std::size_t, std::size_t)> reading_bar() {
  if (::isatty(STDERR_FILENO) == 0) return {};
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  return [began, drawn = Clock::time_point{}](std::size_t done, std::size_t total) mutable {
    const auto now = Clock::now();
    if (done < total && now - drawn < std::chrono::milliseconds{100}) return;
    drawn = now;
    const double seconds = std::chrono::duration<double>(now - began).count();
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const auto left = std::lround(share > 0 ? seconds / share - seconds : 0);
    std::string bar;
    for (int i = 0; i < 24; ++i) bar += i < share * 24 ? "█" : " ";
    const auto line = fmt::format("reading {:3.0f}%|{}| {}/{} [{:.0f} img/s, {}:{:02} left]", share * 100, bar, done,
                                  total, static_cast<double>(done) / std::max(seconds, 1e-3), left / 60, left % 60);
    std::cerr << '\r' << sslmeme::fit_columns(line, sslmeme::terminal_columns()) << "\033[K"
              << (done == total ? "\n" : "") << std::flush;
  };
}

}  // namespace examples
