#include "support/reading_bar.hpp"

#include <sslmeme/train/progress.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace examples {

std::function<void(std::size_t, std::size_t)> reading_bar(const std::string& verb, const std::string& unit) {
  if (::isatty(STDERR_FILENO) == 0) return {};
  using Clock = std::chrono::steady_clock;
  /// Ends the line of a bar that was left in the middle: what comes next is a message.
  struct Line {
    bool open = false;
    Line() = default;
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    ~Line() {
      if (open) std::cerr << '\n';
    }
  };
  return [verb, unit, began = Clock::now(), before = std::optional<std::size_t>{}, drawn = Clock::time_point{},
          row = std::make_shared<Line>()](std::size_t done, std::size_t total) mutable {
    if (!before) before = done > 0 ? done - 1 : 0;
    const auto now = Clock::now();
    if (done < total && now - drawn < std::chrono::milliseconds{100}) return;
    drawn = now;
    const double seconds = std::chrono::duration<double>(now - began).count();
    const auto share = static_cast<double>(done) / static_cast<double>(total);
    const auto rate = static_cast<double>(done - *before) / std::max(seconds, 1e-3);
    const auto left = std::lround(rate > 0 ? static_cast<double>(total - done) / rate : 0);
    std::string bar;
    for (int i = 0; i < 24; ++i) bar += i < share * 24 ? "█" : " ";
    const auto line = fmt::format("{} {:3.0f}%|{}| {}/{} [{:.0f} {}/s, {}:{:02} left]", verb, share * 100, bar, done,
                                  total, rate, unit, left / 60, left % 60);
    std::cerr << '\r' << sslmeme::fit_columns(line, sslmeme::terminal_columns()) << "\033[K"
              << (done == total ? "\n" : "") << std::flush;
    row->open = done < total;
  };
}

}  // namespace examples
