// Files that others read: CSV and TensorBoard's events.
#include <sslmeme/core/error.hpp>
#include <sslmeme/train/logs.hpp>
#include <sslmeme/train/stopping.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <sstream>
#include <string>
#include <vector>

#include "tiny_run.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using sm::ExistingRun;

namespace {

/// A protocol buffer, one field after the other.
class Message {
 public:
  explicit Message(std::string bytes) : bytes_{std::move(bytes)} {}

  bool next() {
    if (at_ >= bytes_.size()) return false;
    const auto key = varint();
    field = key / 8;
    switch (key % 8) {
      case 0:
        number = varint();
        break;
      case 1:
        number = fixed(8);
        break;
      case 5:
        number = fixed(4);
        break;
      default: {
        const auto length = varint();
        content = bytes_.substr(at_, length);
        at_ += length;
      }
    }
    return true;
  }

  std::uint64_t field = 0, number = 0;
  std::string content;

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.at(at_++));
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  }
  std::uint64_t fixed(std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value |= std::uint64_t{static_cast<unsigned char>(bytes_.at(at_ + i))} << (8 * i);
    at_ += size;
    return value;
  }

  std::string bytes_;
  std::size_t at_ = 0;
};

std::uint64_t little_endian(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value * 256 + static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

/// CRC-32C bit by bit, masked as TensorFlow's record format wants it.
std::uint32_t checksum(const std::string& bytes, bool masked = true) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ (0x82F63B78U & (0U - (crc & 1U)));
  }
  return masked ? std::rotr(~crc, 15) + 0xA282EAD8U : ~crc;
}

/// One line an event: "step tag=value …", "version …" or "start step".
std::vector<std::string> events_of(const fs::path& file) {
  std::vector<std::string> lines;
  const auto bytes = bytes_of(file);
  for (std::size_t at = 0; at < bytes.size();) {
    const auto length = little_endian(bytes, at, 8);
    CHECK(little_endian(bytes, at + 8, 4) == checksum(bytes.substr(at, 8)));
    CHECK(little_endian(bytes, at + 12 + length, 4) == checksum(bytes.substr(at + 12, length)));
    Message event{bytes.substr(at + 12, length)};
    at += 12 + length + 4;
    std::uint64_t step = 0;
    std::ostringstream line;
    while (event.next()) {
      if (event.field == 2) step = event.number;
      if (event.field == 3) line << "version " << event.content;
      if (event.field == 7) line << "start " << step;
      if (event.field != 5) continue;
      line << step;
      Message summary{event.content};
      while (summary.next()) {
        Message value{summary.content};
        std::string tag;
        while (value.next()) {
          if (value.field == 1) tag = value.content;
          if (value.field == 2)
            line << ' ' << tag << '=' << std::bit_cast<float>(static_cast<std::uint32_t>(value.number));
        }
      }
    }
    lines.push_back(line.str());
  }
  return lines;
}

fs::path only_file_in(const fs::path& folder) {
  const auto names = names_in(folder);
  REQUIRE(names.size() == 1);
  return folder / *names.begin();
}

}  // namespace

TEST_CASE("epochs.csv has a row an epoch, also of a run that was resumed") {
  const TemporaryFolder temporary;
  int measured = 0;
  const auto stopping = [&] { return sm::EarlyStopping{.measure = [&] { return 0.5 + 0.1 * measured++; }}; };
  train(options(temporary.path), stopping(), sm::CsvLog{}, StopAt{8});
  const auto result = train(options(temporary.path, ExistingRun::resume), stopping(), sm::CsvLog{}).result;
  std::istringstream csv{bytes_of(temporary / "epochs.csv")};
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line.substr(0, line.find('\r')));
  REQUIRE(lines.size() == 1 + epochs);
  CHECK(lines[0] ==
        "epoch,loss,cnn-vit,cnn-vit.cosine,cnn-vit.info_nce,auroc,cnn.deviation,cnn.effective_rank,vit.deviation,"
        "vit.effective_rank");
  for (std::size_t i = 0; i < epochs; ++i) {
    std::istringstream row{lines[1 + i]};
    double epoch = 0, loss = 0;
    char comma = 0;
    row >> epoch >> comma >> loss;
    CHECK(epoch == static_cast<double>(i));
    CHECK(loss == result.history[i].loss);  // written so that it reads back exactly
  }
  CHECK_THROWS_AS(train(options(""), sm::CsvLog{}), sm::InvalidArgument);
}

TEST_CASE("Event files hold what was logged, and say where a resumed run began") {
  CHECK(checksum("123456789", false) == 0xE3069283U);  // the published check value
  const TemporaryFolder temporary;
  train(options(temporary.path), sm::TensorBoardLog{2}, StopAt{8});
  const auto first = only_file_in(temporary / "tensorboard");
  const auto lines = events_of(first);
  REQUIRE(lines.size() == 6);  // version, steps 2, 4, epoch, 6, 8
  CHECK(lines[0] == "version brain.Event:2");
  CHECK(lines[1].starts_with("2 loss="));
  CHECK(lines[1].find(" learning_rate=") != std::string::npos);
  CHECK(lines[1].find(" parts/cnn-vit.cosine=") != std::string::npos);
  CHECK(lines[3].starts_with("5 epoch/loss="));
  fs::rename(first, temporary / "first");
  train(options(temporary.path, ExistingRun::resume), sm::TensorBoardLog{2});
  const auto resumed = events_of(only_file_in(temporary / "tensorboard"));
  CHECK(resumed[1] == "start 9");
  CHECK(resumed[2].starts_with("10 loss="));
  CHECK_THROWS_AS(sm::TensorBoardLog{0}, sm::InvalidArgument);
}

TEST_CASE("Events of a run that died before its first checkpoint are void, too") {
  const TemporaryFolder temporary;
  const auto folder = temporary / "tensorboard", old = folder / "events.out.tfevents.0000000001.sslmeme.1";
  CHECK_THROWS_AS(train(options(temporary.path), sm::TensorBoardLog{1}, CrashAt{3}), Crash);
  fs::rename(only_file_in(folder), old);  // the next may begin within the same second
  train(options(temporary.path, ExistingRun::resume), sm::TensorBoardLog{1}, StopAt{1});
  for (const auto& name : names_in(folder)) {
    if (folder / name == old) continue;
    const auto events = events_of(folder / name);
    REQUIRE(events.size() == 3);
    CHECK(events[1] == "start 1");
    CHECK(events[2].starts_with("1 loss="));
  }
  CHECK(names_in(folder).size() == 2);
}

TEST_CASE("A note drops no event, a skipped step has none") {
  const TemporaryFolder temporary;
  sm::TrainingSession session{tiny_cass().module(), options(temporary.path), 5, ""};
  sm::StepInfo info;
  info.session = &session;
  sm::TensorBoardLog board{1};
  board.on_fit_begin(info);
  info.step = 1;
  info.note = "an old checkpoint cannot be deleted";
  board.on_step_end(info);
  info.step = 2;
  info.skipped = true;
  board.on_step_end(info);
  const auto events = events_of(only_file_in(temporary / "tensorboard"));
  REQUIRE(events.size() == 2);
  CHECK(events[1].starts_with("1 loss="));
}
