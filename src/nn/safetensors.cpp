#include <sslmeme/nn/safetensors.hpp>

#include <sslmeme/core/error.hpp>

#include "core/near_names.hpp"
#include "core/shown.hpp"
#include "nn/safetensors_header.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <unordered_map>

namespace sslmeme {
namespace {

using detail::reject_safetensors;

[[noreturn]] void cannot_read(const std::filesystem::path& path, const char* why) {
  throw IoError(fmt::format("cannot read {}: {}", detail::shown_path(path), why));
}

/// A regular file that is open, and its header, checked.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path)
      : path_{path}, fd_{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)} {  // a pipe must not hold us up
    if (fd_ < 0) cannot_read(path, std::strerror(errno));
    try {
      read_header();
    } catch (...) {
      ::close(fd_);
      throw;
    }
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { ::close(fd_); }

  int fd() const { return fd_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t data_begin() const { return data_begin_; }
  detail::SafetensorsHeader& header() { return header_; }

  void read(void* target, std::uint64_t count, std::uint64_t at) const {
    auto* next = static_cast<char*>(target);
    while (count > 0) {
      const auto got = ::pread(fd_, next, count, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) cannot_read(path_, std::strerror(errno));
      if (got == 0) reject_safetensors(path_, "it became shorter while it was read");
      next += got;
      at += static_cast<std::uint64_t>(got);
      count -= static_cast<std::uint64_t>(got);
    }
  }

 private:
  void read_header() {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) cannot_read(path_, std::strerror(errno));
    if (!S_ISREG(status.st_mode)) cannot_read(path_, S_ISDIR(status.st_mode) ? "it is a folder" : "it is no file");
    bytes_ = static_cast<std::uint64_t>(status.st_size);
    std::array<unsigned char, 8> length{};
    if (bytes_ < length.size()) reject_safetensors(path_, fmt::format("it holds {} bytes", bytes_));
    if (bytes_ > detail::max_file_bytes)
      reject_safetensors(path_, fmt::format("it holds {} bytes; at most {} are read", bytes_, detail::max_file_bytes));
    read(length.data(), length.size(), 0);
    std::uint64_t header_bytes = 0;
    for (std::size_t i = length.size(); i-- > 0;) header_bytes = header_bytes << 8U | length[i];
    if (header_bytes > detail::max_header_bytes || header_bytes > bytes_ - length.size()) {
      reject_safetensors(path_, fmt::format("its header claims {} bytes, the file has {}, and at most {} are allowed",
                                            header_bytes, bytes_, detail::max_header_bytes));
    }
    std::string text(header_bytes, '\0');
    read(text.data(), header_bytes, length.size());
    data_begin_ = length.size() + header_bytes;
    header_ = detail::parse_safetensors_header(path_, text, bytes_ - data_begin_);
  }

  const std::filesystem::path& path_;
  int fd_;
  std::uint64_t bytes_ = 0, data_begin_ = 0;
  detail::SafetensorsHeader header_;
};

/// Any other byte than 0 and 1 is no bool, and undefined behaviour to read as one.
void check_truths(const std::filesystem::path& path, const SafetensorsEntry& entry, const char* bytes) {
  if (entry.type != torch::kBool) return;
  const auto* const end = bytes + (entry.end - entry.begin);
  if (std::all_of(bytes, end, [](char byte) { return byte == 0 || byte == 1; })) return;
  throw DataError(fmt::format("{}: {} has a BOOL that is neither 0 nor 1: the file is damaged",
                              detail::shown_path(path), detail::in_quotes(entry.name)));
}

}  // namespace

Safetensors read_safetensors(const std::filesystem::path& path) {
  OpenFile file{path};
  Safetensors result{{}, std::move(file.header().metadata)};
  for (const auto& entry : file.header().entries) {
    auto tensor = torch::empty(entry.shape, entry.type);
    file.read(tensor.data_ptr(), entry.end - entry.begin, file.data_begin() + entry.begin);
    check_truths(path, entry, static_cast<const char*>(tensor.data_ptr()));
    result.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return result;
}

struct SafetensorsFile::State {
  explicit State(const std::filesystem::path& path_) : path{path_} {
    OpenFile file{path};
    bytes = file.bytes();
    header = std::move(file.header());
    for (std::size_t i = 0; i < header.entries.size(); ++i) index.emplace(header.entries[i].name, i);
    // Without a reserve: memory is taken only for pages that are written, and a file may be larger than the memory.
    auto* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.fd(), 0);
    if (at == MAP_FAILED) cannot_read(path, std::strerror(errno));
    begin = static_cast<char*>(at);
    data = begin + file.data_begin();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::munmap(begin, bytes); }

  std::filesystem::path path;
  char* begin = nullptr;
  char* data = nullptr;
  std::uint64_t bytes = 0;
  detail::SafetensorsHeader header;
  std::unordered_map<std::string, std::size_t> index;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_{std::make_shared<const State>(path)} {}

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const {
  return state_->header.entries;
}

const std::map<std::string, std::string>& SafetensorsFile::metadata() const {
  return state_->header.metadata;
}

bool SafetensorsFile::contains(const std::string& name) const {
  return state_->index.contains(name);
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = state_->index.find(name);
  if (found == state_->index.end()) {
    std::vector<std::string> names;
    constexpr std::size_t looked_through = 1000;
    for (std::size_t i = 0; i < std::min(entries().size(), looked_through); ++i)
      names.push_back(detail::shown(entries()[i].name));
    throw InvalidArgument(fmt::format("no tensor of the file is called {}; did you mean: {}", detail::in_quotes(name),
                                      detail::shown(detail::near_names(name, names), 400)));
  }
  const auto& entry = entries()[found->second];
  auto* const at = state_->data + entry.begin;
  check_truths(state_->path, entry, at);
  const auto misaligned = reinterpret_cast<std::uintptr_t>(at) % torch::elementSize(entry.type) != 0;
  if (entry.begin == entry.end || misaligned) {
    auto copy = torch::empty(entry.shape, entry.type);
    if (entry.begin < entry.end) std::memcpy(copy.data_ptr(), at, entry.end - entry.begin);
    return copy;
  }
  return torch::from_blob(at, entry.shape, [state = state_](void*) {}, entry.type);
}

NamedTensors SafetensorsFile::tensors() const {
  NamedTensors all;
  for (const auto& entry : entries()) all.emplace_back(entry.name, tensor(entry.name));
  return all;
}

FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata) {
  const auto layout = detail::lay_out_safetensors(tensors, metadata);
  return write_atomically(path, [&](const ByteSink& sink) {
    const auto& text = layout.header;
    std::array<std::byte, 8> length{};
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(text.size() >> (8 * i));
    sink(length);
    sink(std::as_bytes(std::span{text}));
    for (const auto i : layout.order) {
      const auto flat = tensors[i].second.detach().cpu().contiguous().resolve_neg();
      sink({static_cast<const std::byte*>(flat.data_ptr()), flat.nbytes()});
    }
  });
}

}  // namespace sslmeme
