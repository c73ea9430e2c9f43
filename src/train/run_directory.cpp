#include "train/run_directory.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include "train/run_config.hpp"

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

/// What training writes in a run directory, beside the checkpoints.
constexpr const char* own_files[] = {"config.json",       "log.jsonl",           "quarantine.jsonl",
                                     "model.safetensors", "average.safetensors", "epochs.csv"};

/// Whether a line of the log tells of what a run had done when it was at `at`. What was measured after an epoch is of
/// the step before, so that it may tell of an end that the run has yet to come to.
bool was_done(const nlohmann::json& line, const Progress& at) {
  if (!line.is_object() || line.value("step", at.step + 1) > at.step) return false;
  return !line.contains("metrics") || line.value("epoch", at.epoch) != at.epoch || at.epoch_ended();
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

nlohmann::json read_config(const std::filesystem::path& run) {
  const auto path = run / "config.json";
  try {
    return nlohmann::json::parse(read_file(path));
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{} cannot be read: {}", path.string(), error.what()));
  }
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
  for (const auto* file : own_files) remove_unfinished(path_ / file);
  if (used && options.existing == ExistingRun::overwrite) {
    for (const auto* folder : {"checkpoints", "tensorboard"}) remove_tree(path_ / folder);
    for (const auto* file : own_files) remove_tree(path_ / file);
    for (const auto& entry : std::filesystem::directory_iterator{path_}) {  // of other ranks
      if (entry.path().filename().string().starts_with("quarantine.rank-")) std::filesystem::remove(entry.path());
    }
  }
  checkpoints_.emplace(path_ / "checkpoints");
  if (used && options.existing == ExistingRun::resume) {
    resume(config);
  } else {
    write_atomically(path_ / "config.json", config.dump(2) + "\n");
  }
  log_.open(path_ / "log.jsonl", std::ios::app);
  if (!log_) throw IoError(fmt::format("cannot write {}", (path_ / "log.jsonl").string()));
}

void RunDirectory::resume(const nlohmann::json& config) {
  auto old = read_config(path_);
  compare_config(old, config);
  resumed_ = checkpoints_->load_newest();
  cut_log(resumed_ ? resumed_->progress : Progress{});
  auto& epochs = old["trainer"]["epochs"];
  if (epochs == config["trainer"]["epochs"]) return;
  epochs = config["trainer"]["epochs"];  // those who read the run want to know when it will be done
  write_atomically(path_ / "config.json", old.dump(2) + "\n");
}

void RunDirectory::compare_config(const nlohmann::json& old, const nlohmann::json& config) const {
  std::string differing;
  for (const auto& [key, then, now] : differences(old, config)) {
    if (may_differ("/" + key)) continue;
    differing += fmt::format("{}{}: {} then, {} now", differing.empty() ? "" : "; ", key, then.dump(), now.dump());
  }
  if (!differing.empty()) {
    throw InvalidArgument(
        fmt::format("{} was run with another configuration ({}): resume with the same, or choose another directory",
                    path_.string(), differing));
  }
}

void RunDirectory::cut_log(const Progress& at) const {
  std::ifstream in{path_ / "log.jsonl"};
  std::string kept, line;
  while (std::getline(in, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (was_done(json, at)) kept += line + '\n';
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
