#include "train/run_directory.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sslmeme::detail {
namespace {

/// Another version or machine or a longer run may go on; another model or another optimizer may not.
bool may_differ(const std::string& key) {
  return key.starts_with("/versions") || key == "/trainer/epochs" || key == "/trainer/threads";
}

/// The same for configurations that may resume each other's runs.
std::string digest_of_config(const nlohmann::json& config) {
  std::string text;
  const auto flat = config.flatten();
  for (const auto& [key, value] : flat.items()) {
    if (!may_differ(key)) text += key + "=" + value.dump() + "\n";
  }
  return fmt::format("{:08x}", digest_of(std::as_bytes(std::span{text})).crc32);
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& folder)
    : descriptor_{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
  if (descriptor_ < 0) throw IoError(fmt::format("cannot open {}: {}", folder.string(), std::strerror(errno)));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;  // some file systems lock nothing
  ::close(descriptor_);
  throw InvalidArgument(
      fmt::format("{} is in use by another process: wait for it or choose another directory", folder.string()));
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

nlohmann::json values_json(const NamedValues& values) {
  auto json = nlohmann::json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

RunDirectory::RunDirectory(const TrainerOptions& options, const nlohmann::json& config)
    : path_{options.output_dir}, config_digest_{digest_of_config(config)} {
  const bool used = std::filesystem::exists(path_ / "config.json");
  if (used && options.existing == ExistingRun::refuse) {
    throw InvalidArgument(
        fmt::format("{} holds a run already: choose another directory, --resume it or --overwrite it", path_.string()));
  }
  make_directory(path_);
  lock_.emplace(path_);
  if (used && options.existing == ExistingRun::overwrite) {
    for (const auto* name : {"checkpoints", "tensorboard", "epochs.csv", "log.jsonl", "quarantine.jsonl",
                             "model.safetensors", "average.safetensors", "config.json"})
      std::filesystem::remove_all(path_ / name);
  }
  checkpoints_.emplace(path_ / "checkpoints");
  if (used && options.existing == ExistingRun::resume) {
    compare_config(config);
    resumed_ = checkpoints_->load_newest(notes_);
    cut_log(resumed_ ? resumed_->progress.step : 0);
  } else {
    write_atomically(path_ / "config.json", config.dump(2) + "\n");
  }
  log_.open(path_ / "log.jsonl", std::ios::app);
  if (!log_) throw IoError(fmt::format("cannot write {}", (path_ / "log.jsonl").string()));
}

void RunDirectory::compare_config(const nlohmann::json& config) const {
  nlohmann::json old;
  try {
    old = nlohmann::json::parse(read_file(path_ / "config.json"));
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{} cannot be read: {}", (path_ / "config.json").string(), error.what()));
  }
  const auto before = old.flatten(), now = config.flatten();
  std::string differing;
  const auto note = [&](const std::string& key) {
    if (may_differ(key)) return;
    differing += fmt::format("{}{}: {} then, {} now", differing.empty() ? "" : "; ", key.substr(1),
                             before.value(key, nlohmann::json{}).dump(), now.value(key, nlohmann::json{}).dump());
  };
  for (const auto& [key, value] : before.items()) {
    if (!now.contains(key) || now[key] != value) note(key);
  }
  for (const auto& [key, value] : now.items()) {
    if (!before.contains(key)) note(key);
  }
  if (!differing.empty()) {
    throw InvalidArgument(
        fmt::format("{} was run with another configuration ({}): resume with the same, or choose another directory",
                    path_.string(), differing));
  }
}

void RunDirectory::cut_log(std::int64_t last_step) const {
  std::ifstream in{path_ / "log.jsonl"};
  std::string kept, line;
  while (std::getline(in, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("step", last_step + 1) <= last_step) kept += line + '\n';
  }
  write_atomically(path_ / "log.jsonl", kept);
}

void RunDirectory::log(const nlohmann::json& line) {
  log_ << line.dump() << '\n';
}

void RunDirectory::flush_log() {
  if (!log_.flush()) throw IoError(fmt::format("cannot write {}: is the disk full?", (path_ / "log.jsonl").string()));
}

}  // namespace sslmeme::detail
