#include <sslmeme/train/progress.hpp>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace sslmeme {
namespace {

std::string clock_time(double seconds) {
  const auto s = static_cast<long>(std::lround(std::max(0.0, seconds)));
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                   : fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string losses(const StepInfo& info) {
  auto text = fmt::format("loss {:.4f}", info.mean_loss);
  if (info.mean_parts.size() > 1) {
    std::string parts;
    for (const auto& [name, value] : info.mean_parts)
      parts += fmt::format("{}{} {:.3f}", parts.empty() ? "" : ", ", name, value);
    text += fmt::format(" ({})", parts);
  }
  return text;
}

/// `cells` characters, eighths of a block at the end.
std::string bar_of(double share, int cells) {
  static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * cells * 8);
  std::string bar;
  for (int i = 0; i < filled / 8; ++i) bar += "█";
  bar += eighths[filled % 8];
  for (int i = (filled + 7) / 8; i < cells; ++i) bar += ' ';
  return bar;
}

std::ostream& stream(const ProgressBar& bar) {
  return bar.out != nullptr ? *bar.out : std::cerr;
}

std::string prefix(const ProgressBar& bar) {
  return bar.label.empty() ? "" : bar.label + " ";
}

/// Seconds that the rest of the run will take at the mean pace of this process.
double time_left(const ProgressBar& bar, const StepInfo& info) {
  const auto done = static_cast<double>(info.step) - bar.drawing.steps_before;
  return done > 0 ? info.seconds / done * static_cast<double>(info.total_steps - info.step) : 0;
}

void warn_once(ProgressBar& bar, const StepInfo& info) {
  for (const auto& health : info.health) {
    const auto mark = "|" + health.name + "|";
    if (health.warning.empty() || bar.drawing.warned.find(mark) != std::string::npos) continue;
    bar.drawing.warned += mark;
    stream(bar) << (bar.drawing.bar ? "\r\033[K" : "") << prefix(bar) << "warning: " << health.warning << '\n';
  }
}

void tell_note(const ProgressBar& bar, const StepInfo& info) {
  if (info.note.empty()) return;
  stream(bar) << (bar.drawing.bar ? "\r\033[K" : "") << prefix(bar) << "note: " << info.note << '\n';
}

/// Whether a byte of UTF-8 is the first of its character.
bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

/// How many columns the text takes, of characters one column wide.
int characters(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), begins_character));
}

/// The whole line with a bar of so many cells.
std::string line_of(const ProgressBar& bar, const StepInfo& info, int cells) {
  const auto share = static_cast<double>(info.batch) / static_cast<double>(info.batches_per_epoch);
  return fmt::format("{}epoch {}/{} {:3.0f}%|{}| {}/{} [{:.0f} img/s, {} left] {}", prefix(bar), info.epoch + 1,
                     info.epochs, share * 100, bar_of(share, cells), info.batch, info.batches_per_epoch,
                     info.samples_per_second, clock_time(time_left(bar, info)), losses(info));
}

}  // namespace

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string fit_columns(std::string_view text, int columns) {
  if (columns <= 0 || characters(text) <= columns) return std::string{text};
  std::size_t end = 0;
  for (int seen = 0; end < text.size(); ++end) {
    if (begins_character(text[end]) && seen++ == columns - 1) break;
  }
  return std::string{text.substr(0, end)} + "…";
}

void ProgressBar::on_fit_begin(const StepInfo& info) {
  if (info.rank != 0) return;
  drawing.bar = style == Style::bar || (style == Style::automatic && out == nullptr && isatty(STDERR_FILENO) == 1);
  drawing.steps_before = static_cast<double>(info.step);
  if (info.step > 0)
    stream(*this) << prefix(*this) << "resuming at step " << info.step << " of " << info.total_steps << '\n';
  tell_note(*this, info);
}

void ProgressBar::on_step_end(const StepInfo& info) {
  if (info.rank != 0) return;
  tell_note(*this, info);
  if (info.health_is_new) warn_once(*this, info);
  if (!drawing.bar) return;
  const auto now = std::chrono::steady_clock::now();
  if (info.batch < info.batches_per_epoch && now - drawing.drawn < std::chrono::milliseconds{100}) return;
  drawing.drawn = now;
  const auto most = columns > 0 ? columns : out == nullptr ? terminal_columns() : 0;
  auto line = line_of(*this, info, width);
  if (const auto excess = characters(line) - most; most > 0 && excess > 0)
    line = fit_columns(line_of(*this, info, std::clamp(width - excess, std::min(6, width), width)), most);
  stream(*this) << '\r' << line << "\033[K" << std::flush;
}

void ProgressBar::on_epoch_end(const StepInfo& info) {
  if (info.rank != 0 || drawing.bar) return;
  stream(*this) << fmt::format("{}epoch {}/{} {} [{:.0f} img/s, {} left]\n", prefix(*this), info.epoch + 1, info.epochs,
                               losses(info), info.samples_per_second, clock_time(time_left(*this, info)))
                << std::flush;
}

void ProgressBar::on_fit_end(const StepInfo& info) {
  if (info.rank != 0) return;
  if (drawing.bar) stream(*this) << '\n' << std::flush;
  tell_note(*this, info);
}

}  // namespace sslmeme
