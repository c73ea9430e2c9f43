#include "train/run_directory.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>

namespace sslmeme::detail {
namespace {

constexpr std::size_t checkpoints_kept = 2;
constexpr const char* weights_file = "model.safetensors";
constexpr const char* optimizer_file = "optimizer.safetensors";
constexpr const char* manifest_file = "manifest.json";

NamedValues values_from(const nlohmann::json& json) {
  NamedValues values;
  for (const auto& pair : json) values.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<double>());
  return values;
}

nlohmann::json pairs_json(const NamedValues& values) {
  auto json = nlohmann::json::array();
  for (const auto& [name, value] : values) json.push_back({name, value});
  return json;
}

nlohmann::json to_json(const Manifest& m) {
  nlohmann::json json{{"step", m.step},
                      {"epoch", m.epoch},
                      {"batch", m.batch},
                      {"loss_sum", m.loss_sum},
                      {"part_sums", pairs_json(m.part_sums)}};
  json["history"] = nlohmann::json::array();
  for (const auto& record : m.history) {
    auto health = nlohmann::json::array();
    for (const auto& h : record.health)
      health.push_back(
          {{"name", h.name}, {"deviation", h.deviation}, {"effective_rank", h.effective_rank}, {"warning", h.warning}});
    json["history"].push_back(
        {{"epoch", record.epoch}, {"loss", record.loss}, {"parts", pairs_json(record.parts)}, {"health", health}});
  }
  return json;
}

Manifest manifest_from(const nlohmann::json& json) {
  Manifest m{json.at("step").get<std::int64_t>(),  json.at("epoch").get<std::int64_t>(),
             json.at("batch").get<std::int64_t>(), json.at("loss_sum").get<double>(),
             values_from(json.at("part_sums")),    {}};
  for (const auto& record : json.at("history")) {
    EpochRecord r{
        record.at("epoch").get<std::int64_t>(), record.at("loss").get<double>(), values_from(record.at("parts")), {}};
    for (const auto& h : record.at("health")) {
      r.health.push_back({h.at("name").get<std::string>(), h.at("deviation").get<double>(),
                          h.at("effective_rank").get<double>(), h.at("warning").get<std::string>()});
    }
    m.history.push_back(std::move(r));
  }
  return m;
}

/// The checkpoints of a run, newest first.
std::vector<std::filesystem::path> checkpoints_of(const std::filesystem::path& run) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator{run / "checkpoints", error}) {
    if (entry.path().filename().string().starts_with("step-")) found.push_back(entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

void make_directory(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw IoError(fmt::format("cannot make the directory {}: {}", path.string(), error.message()));
}

}  // namespace

nlohmann::json values_json(const NamedValues& values) {
  auto json = nlohmann::json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

RunDirectory::RunDirectory(const TrainerOptions& options, const nlohmann::json& config) : path_{options.output_dir} {
  const bool used = std::filesystem::exists(path_ / "config.json");
  if (used && options.existing == ExistingRun::refuse) {
    throw InvalidArgument(
        fmt::format("{} holds a run already: choose another directory, --resume it or --overwrite it", path_.string()));
  }
  if (used && options.existing == ExistingRun::overwrite) {
    for (const auto* name : {"checkpoints", "log.jsonl", weights_file, "config.json"})
      std::filesystem::remove_all(path_ / name);
  }
  make_directory(path_ / "checkpoints");
  if (used && options.existing == ExistingRun::resume) {
    compare_config(config);
    load_newest();
    cut_log(resumed_ ? resumed_->manifest.step : 0);
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
    // Another version or machine or a longer run may go on; another model or another optimizer may not.
    if (key.starts_with("/versions") || key == "/trainer/epochs" || key == "/trainer/threads") return;
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

void RunDirectory::load_newest() {
  std::string problems;
  std::vector<std::filesystem::path> damaged;
  for (const auto& candidate : checkpoints_of(path_)) {
    try {
      const auto manifest = nlohmann::json::parse(read_file(candidate / manifest_file));
      resumed_ = Checkpoint{manifest_from(manifest), read_safetensors(candidate / weights_file).tensors,
                            read_safetensors(candidate / optimizer_file).tensors, candidate};
      // The run will come by their steps again, and save() takes a directory that is there for a good one.
      for (const auto& path : damaged) std::filesystem::remove_all(path);
      return;
    } catch (const Error& error) {
      problems += fmt::format("; {}", error.what());
    } catch (const nlohmann::json::exception& error) {
      problems += fmt::format("; {}: {}", (candidate / manifest_file).string(), error.what());
    }
    damaged.push_back(candidate);
  }
  if (!problems.empty()) throw DataError(fmt::format("{} has no usable checkpoint{}", path_.string(), problems));
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

std::filesystem::path RunDirectory::save(const Manifest& manifest, const NamedTensors& weights,
                                         const NamedTensors& optimizer) {
  const auto final_path = path_ / "checkpoints" / fmt::format("step-{:09d}", manifest.step);
  const auto manifest_text = to_json(manifest).dump(2) + "\n";
  if (std::filesystem::exists(
          final_path)) {  // saved at this very step already, maybe before the epoch entered the history
    write_atomically(final_path / manifest_file, manifest_text);
    return final_path;
  }
  const auto partial = path_ / "checkpoints" / fmt::format("partial-{:09d}", manifest.step);
  try {
    std::filesystem::remove_all(partial);
    make_directory(partial);
    write_safetensors(partial / weights_file, weights);
    write_safetensors(partial / optimizer_file, optimizer);
    write_atomically(partial / manifest_file, manifest_text);
    std::filesystem::rename(partial, final_path);
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError(fmt::format("cannot save the checkpoint {}: {}; older checkpoints are intact", final_path.string(),
                              error.what()));
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(partial, ignored);
    throw;
  }
  sync_directory(path_ / "checkpoints");
  const auto all = checkpoints_of(path_);
  for (std::size_t i = checkpoints_kept; i < all.size(); ++i) std::filesystem::remove_all(all[i]);
  return final_path;
}

}  // namespace sslmeme::detail

namespace sslmeme {

std::vector<EpochRecord> read_history(const std::filesystem::path& run) {
  const auto checkpoints = detail::checkpoints_of(run);
  if (checkpoints.empty()) throw DataError(fmt::format("{} has no checkpoint", run.string()));
  try {
    return detail::manifest_from(nlohmann::json::parse(read_file(checkpoints.front() / detail::manifest_file))).history;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: {}", (checkpoints.front() / detail::manifest_file).string(), error.what()));
  }
}

}  // namespace sslmeme
