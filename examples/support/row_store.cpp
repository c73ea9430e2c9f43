#include "support/row_store.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace examples {

namespace sm = sslmeme;

namespace {

/// Rows and CRC-32 of a chunk, before its values.
using ChunkHead = std::array<std::uint32_t, 2>;

}  // namespace

void RowStore::fail(const char* what) const {
  throw sm::IoError(fmt::format("cannot {} {}: {}", what, path_.string(), std::strerror(errno)));
}

template <class Use>
std::int64_t RowStore::for_each_chunk(const Use& use) const {
  auto* const file = file_.get();
  std::vector<float> values;
  auto end = header_;
  for (ChunkHead head{};;) {
    if (std::fseek(file, end, SEEK_SET) != 0) fail("read");
    if (std::fread(head.data(), sizeof head, 1, file) != 1 || head[0] == 0 || head[0] > max_rows_) return end;
    values.resize(static_cast<std::size_t>(head[0]) * static_cast<std::size_t>(width_));
    if (std::fread(values.data(), sizeof(float), values.size(), file) != values.size()) return end;
    if (sm::digest_of(std::as_bytes(std::span{values})).crc32 != head[1]) return end;
    use(values, static_cast<std::int64_t>(head[0]));
    end += static_cast<std::int64_t>(sizeof head + values.size() * sizeof(float));
  }
}

RowStore::RowStore(std::filesystem::path path, const std::string& identity, std::int64_t width, std::int64_t max_rows,
                   FoundRows found)
    : path_{std::move(path)}, width_{width}, max_rows_{max_rows} {
  file_.reset(std::fopen(path_.c_str(), "a+be"));
  if (!file_) fail("write");
  // Some network file systems have no locks: there nothing is held.
  if (::flock(::fileno(file_.get()), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw sm::IoError(
        fmt::format("{} is being written by another process: wait for it, or give another --out", path_.string()));
  }
  const auto line = identity + '\n';
  std::string there(line.size(), '\0');
  if (std::fseek(file_.get(), 0, SEEK_SET) != 0) fail("read");
  there.resize(std::fread(there.data(), 1, there.size(), file_.get()));
  const bool ours = there == line;
  // A beginning of our line is what a stopped machine left of it.
  const bool begun = ours || line.starts_with(there);
  if (!begun && found == FoundRows::go_on) {
    throw sm::DataError(
        fmt::format("{} holds embeddings of other data, weights or options: give the same ones to go on, --restart to "
                    "throw them away, or another --out",
                    path_.string()));
  }
  header_ = static_cast<std::int64_t>(line.size());
  auto end = std::int64_t{0};
  if (ours && found == FoundRows::go_on) end = for_each_chunk([&](const auto&, std::int64_t n) { rows_ += n; });
  if (rows_ > max_rows_) {
    throw sm::DataError(
        fmt::format("{} holds {} rows of {}: throw them away by --restart", path_.string(), rows_, max_rows_));
  }
  if (::ftruncate(::fileno(file_.get()), end) != 0 || std::fseek(file_.get(), 0, SEEK_END) != 0) fail("write");
  if (end == 0 && (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
                   std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0))
    fail("write");
}

void RowStore::append(const sm::Tensor& rows) {
  const auto values = rows.to(torch::kCPU, torch::kFloat).contiguous();
  TORCH_CHECK(values.dim() == 2 && values.size(1) == width_, "rows of another width");
  if (values.size(0) == 0) return;
  const std::span bytes{static_cast<const std::byte*>(values.data_ptr()), values.nbytes()};
  const ChunkHead head{static_cast<std::uint32_t>(values.size(0)), sm::digest_of(bytes).crc32};
  auto* const file = file_.get();
  if (std::fseek(file, 0, SEEK_END) != 0 || std::fwrite(head.data(), sizeof head, 1, file) != 1 ||
      std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fflush(file) != 0 ||
      ::fdatasync(::fileno(file)) != 0)
    fail("write");
  rows_ += values.size(0);
}

sm::Tensor RowStore::read() const {
  auto all = torch::empty({rows_, width_});
  auto* next = all.data_ptr<float>();
  std::int64_t found = 0;
  for_each_chunk([&](const std::vector<float>& values, std::int64_t n) {
    if ((found += n) <= rows_) next = std::copy(values.begin(), values.end(), next);
  });
  if (found != rows_) throw sm::DataError(fmt::format("{} has changed while it was written", path_.string()));
  return all;
}

void RowStore::remove() {
  std::filesystem::remove(path_);
}

}  // namespace examples
