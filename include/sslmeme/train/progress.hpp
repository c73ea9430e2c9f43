// ProgressBar: one line with rate, time left and the losses by part.
#pragma once

#include <sslmeme/train/callback.hpp>

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>

namespace sslmeme {

/// The width of the terminal at standard error in columns; 0 where there is none.
int terminal_columns();

/// `text` if it is at most `columns` characters long, else its beginning with "…" at the end. 0: as it is. A line that
/// is drawn over itself must not wrap.
std::string fit_columns(std::string_view text, int columns);

/// Callback. On a terminal, a bar that redraws itself ten times a second; elsewhere, one plain line an epoch. Warnings
/// of the collapse monitor get a line of their own, once a node. Of several ranks the first one's is shown.
struct ProgressBar {
  std::string label = {};       ///< shown before the bar
  std::ostream* out = nullptr;  ///< null: standard error
  int width = 24;               ///< characters of the bar itself; fewer where the terminal is narrow
  int columns = 0;              ///< the line is no longer than this; 0: than the terminal is wide
  enum class Style { automatic, bar, lines } style = Style::automatic;

  void on_fit_begin(const StepInfo& info);
  void on_step_end(const StepInfo& info);
  void on_epoch_end(const StepInfo& info);
  void on_fit_end(const StepInfo& info);

  /// State of the drawing; leave it alone.
  struct Drawing {
    bool bar = false;
    std::chrono::steady_clock::time_point drawn = {};
    double steps_before = 0;  ///< done before this process began
    std::string warned = {};  ///< names that had their warning
  } drawing = {};
};

static_assert(Callback<ProgressBar>);

}  // namespace sslmeme
