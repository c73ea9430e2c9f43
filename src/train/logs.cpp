#include <sslmeme/train/logs.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <fstream>
#include <optional>

namespace sslmeme {
namespace {

const std::filesystem::path& run_of(const StepInfo& info, const char* who) {
  const auto& run = info.session->output_dir();
  if (run.empty()) throw InvalidArgument(fmt::format("{} has no run directory: set TrainerOptions::output_dir", who));
  return run;
}

/// All that an epoch was measured at, by column.
NamedValues row_of(const EpochRecord& record) {
  NamedValues row{{"epoch", static_cast<double>(record.epoch)}, {"loss", record.loss}};
  row.insert(row.end(), record.parts.begin(), record.parts.end());
  row.insert(row.end(), record.metrics.begin(), record.metrics.end());
  for (const auto& health : record.health) {
    row.emplace_back(health.name + ".deviation", health.deviation);
    row.emplace_back(health.name + ".effective_rank", health.effective_rank);
  }
  return row;
}

/// As RFC 4180 wants it.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
  return quoted + '"';
}

// An event file is a sequence of records (TensorFlow's TFRecord); each holds one protocol buffer `Event`.

/// CRC-32C (Castagnoli), reflected, a byte at a time.
constexpr auto crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    auto value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
    table[byte] = value;
  }
  return table;
}();

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) crc = crc32c_table[(crc ^ static_cast<std::uint8_t>(c)) & 0xFFU] ^ (crc >> 8U);
  return std::rotr(~crc, 15) + 0xA282EAD8U;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFFU);
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7U) bytes += static_cast<char>((value & 0x7FU) | 0x80U);
  return bytes + static_cast<char>(value);
}

enum class WireType : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

std::string key(std::uint32_t field, WireType type) {
  return varint((field << 3U) | static_cast<std::uint32_t>(type));
}
std::string bytes_field(std::uint32_t field, const std::string& content) {
  return key(field, WireType::bytes) + varint(content.size()) + content;
}

/// Event{wall_time = 1, step = 2, …}.
std::string event(std::int64_t step, const std::string& what) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return key(1, WireType::fixed64) + little_endian(std::bit_cast<std::uint64_t>(now.count())) +
         key(2, WireType::varint) + varint(static_cast<std::uint64_t>(step)) + what;
}

/// Event.summary = 5 {value = 1 {tag = 1, simple_value = 2}}.
std::string scalars(const NamedValues& values) {
  std::string summary;
  for (const auto& [name, value] : values) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    summary += bytes_field(1, bytes_field(1, name) + key(2, WireType::fixed32) + little_endian(bits));
  }
  return bytes_field(5, summary);
}

}  // namespace

void CsvLog::on_epoch_end(const StepInfo& info) const {
  if (info.rank != 0) return;
  const auto& run = run_of(info, "CsvLog");
  std::vector<std::string> columns;
  std::vector<NamedValues> rows;
  for (const auto& record : info.session->history()) {
    rows.push_back(row_of(record));
    for (const auto& [name, value] : rows.back()) {
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
    }
  }
  std::string text;
  for (const auto& name : columns) text += (text.empty() ? "" : ",") + csv_cell(name);
  for (const auto& row : rows) {
    text += "\r\n";
    for (const auto& name : columns) {
      const auto cell = std::find_if(row.begin(), row.end(), [&](const auto& value) { return value.first == name; });
      text += fmt::format("{}{}", name == columns.front() ? "" : ",",
                          cell == row.end() ? std::string{} : fmt::format("{}", cell->second));
    }
  }
  write_atomically(run / "epochs.csv", text + "\r\n");
}

class TensorBoardLog::Writer {
 public:
  explicit Writer(const std::filesystem::path& folder) {
    make_directory(folder);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    path_ = folder / fmt::format("events.out.tfevents.{:010d}.sslmeme.{}",
                                 std::chrono::duration_cast<std::chrono::seconds>(now).count(), ::getpid());
    file_.open(path_, std::ios::binary | std::ios::app);
    write(event(0, bytes_field(3, "brain.Event:2")));
  }

  void write(const std::string& record) {
    const auto length = little_endian(std::uint64_t{record.size()});
    file_ << length << little_endian(masked_crc32c(length)) << record << little_endian(masked_crc32c(record));
    // At once: a resume goes on from a checkpoint, and events must reach there.
    if (!file_.flush()) throw IoError(fmt::format("cannot write {}: is the disk full?", path_.string()));
  }

 private:
  std::filesystem::path path_;
  std::ofstream file_;
};

TensorBoardLog::TensorBoardLog(std::int64_t every_steps) : every_steps_{every_steps} {
  if (every_steps < 1)
    throw InvalidArgument(fmt::format("TensorBoardLog's every_steps is {}; it must be at least 1", every_steps));
}

void TensorBoardLog::on_fit_begin(const StepInfo& info) {
  if (info.rank != 0) return;
  const auto folder = run_of(info, "TensorBoardLog") / "tensorboard";
  const bool others = std::filesystem::exists(folder) && !std::filesystem::is_empty(folder);
  writer_ = std::make_shared<Writer>(folder);
  // Event.session_log = 7 {status = 1: START}: what other files hold from this step on is void. They may be of a run
  // that died before its first checkpoint.
  if (info.step > 0 || others)
    writer_->write(event(info.step + 1, bytes_field(7, key(1, WireType::varint) + varint(1))));
}

void TensorBoardLog::on_step_end(const StepInfo& info) {
  if (!writer_ || info.step % every_steps_ != 0 || info.skipped) return;
  NamedValues values{{"loss", info.loss},
                     {"learning_rate", info.learning_rate},
                     {"gradient_norm", info.gradient_norm},
                     {"speed/samples_per_second", info.samples_per_second},
                     {"speed/data_wait_share", info.data_wait_share},
                     {"memory/resident_mb", info.resident_mb}};
  for (const auto& [name, value] : info.parts) values.emplace_back("parts/" + name, value);
  if (info.health_is_new) {
    for (const auto& health : info.health) {
      values.emplace_back("features/" + health.name + "/deviation", health.deviation);
      values.emplace_back("features/" + health.name + "/effective_rank", health.effective_rank);
    }
  }
  writer_->write(event(info.step, scalars(values)));
}

void TensorBoardLog::on_epoch_end(const StepInfo& info) {
  if (!writer_) return;
  NamedValues values{{"epoch/loss", info.mean_loss}};
  for (const auto& [name, value] : info.session->history().back().metrics) values.emplace_back("epoch/" + name, value);
  writer_->write(event(info.step, scalars(values)));
}

void TensorBoardLog::on_fit_end(const StepInfo& /*info*/) {
  writer_.reset();
}

}  // namespace sslmeme
