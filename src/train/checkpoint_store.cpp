#include "train/checkpoint_store.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/version.hpp>

#include "train/named.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

namespace fs = std::filesystem;

namespace sslmeme::detail {
namespace {

constexpr const char* manifest_file = "manifest.json";
constexpr const char* own_digest = "crc32";  ///< of the manifest without this key
constexpr int format = 1;                    ///< of the manifest and what it names

/// JSON writes what is no number as null.
double number_from(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

NamedValues values_from(const nlohmann::json& json) {
  NamedValues values;
  for (const auto& pair : json) values.emplace_back(pair.at(0).get<std::string>(), number_from(pair.at(1)));
  return values;
}

nlohmann::json pairs_json(const NamedValues& values) {
  auto json = nlohmann::json::array();
  for (const auto& [name, value] : values) json.push_back({name, value});
  return json;
}

nlohmann::json health_json(const std::vector<FeatureHealth>& health) {
  auto json = nlohmann::json::array();
  for (const auto& h : health) {
    json.push_back(
        {{"name", h.name}, {"deviation", h.deviation}, {"effective_rank", h.effective_rank}, {"warning", h.warning}});
  }
  return json;
}

std::vector<FeatureHealth> health_from(const nlohmann::json& json) {
  std::vector<FeatureHealth> health;
  for (const auto& h : json) {
    health.push_back({h.at("name").get<std::string>(), number_from(h.at("deviation")),
                      number_from(h.at("effective_rank")), h.at("warning").get<std::string>()});
  }
  return health;
}

nlohmann::json to_json(const Progress& p) {
  nlohmann::json json{{"step", p.step},
                      {"epoch", p.epoch},
                      {"batch", p.batch},
                      {"skipped", p.skipped},
                      {"loss_scale", {{"scale", p.scaler.scale}, {"fitting", p.scaler.fitting}}},
                      {"loss_sum", p.loss_sum},
                      {"summed", p.summed},
                      {"part_sums", pairs_json(p.part_sums)},
                      {"health", health_json(p.health)}};
  json["history"] = nlohmann::json::array();
  for (const auto& record : p.history) {
    json["history"].push_back({{"epoch", record.epoch},
                               {"loss", record.loss},
                               {"parts", pairs_json(record.parts)},
                               {"metrics", pairs_json(record.metrics)},
                               {"health", health_json(record.health)}});
  }
  return json;
}

Progress progress_from(const nlohmann::json& json) {
  Progress p{json.at("step").get<std::int64_t>(),
             json.at("epoch").get<std::int64_t>(),
             json.at("batch").get<std::int64_t>(),
             json.at("skipped").get<std::int64_t>(),
             {json.at("loss_scale").at("scale").get<double>(), json.at("loss_scale").at("fitting").get<std::int64_t>()},
             json.at("loss_sum").get<double>(),
             json.at("summed").get<std::int64_t>(),
             values_from(json.at("part_sums"))};
  if (json.contains("health")) p.health = health_from(json.at("health"));  // the first of this format had none
  for (const auto& record : json.at("history")) {
    p.history.push_back({record.at("epoch").get<std::int64_t>(), number_from(record.at("loss")),
                         values_from(record.at("parts")), health_from(record.at("health")),
                         values_from(record.at("metrics"))});
  }
  return p;
}

std::string hex(std::uint32_t value) {
  return fmt::format("{:08x}", value);
}

std::uint32_t crc32_of(const std::string& text) {
  return digest_of(std::as_bytes(std::span{text})).crc32;
}

/// With its own digest, in the one spelling that read_manifest() takes.
std::string sealed(nlohmann::json manifest) {
  manifest[own_digest] = hex(crc32_of(manifest.dump(2)));
  return manifest.dump(2) + "\n";
}

nlohmann::json read_manifest(const fs::path& checkpoint) {
  const auto path = checkpoint / manifest_file;
  const auto damaged = [&](const std::string& what) { return DataError(fmt::format("{} {}", path.string(), what)); };
  const auto text = read_file(path);
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains(own_digest)) throw damaged("is no manifest of a checkpoint");
  json.erase(own_digest);
  if (sealed(json) != text) throw damaged("is damaged: its checksum does not agree");
  if (const auto found = json.value("format", nlohmann::json{}); found != format) {
    throw InvalidArgument(
        fmt::format("{} has format {}; sslmeme {} reads format {}: resume with the version that wrote it",
                    path.string(), found.dump(), SSLMEME_VERSION, format));
  }
  return json;
}

nlohmann::json to_json(const Circumstances& made) {
  return {{"threads", made.threads}, {"versions", {{"sslmeme", made.sslmeme}, {"libtorch", made.libtorch}}}};
}

Circumstances circumstances_from(const nlohmann::json& manifest) {
  return {manifest.at("threads").get<int>(), manifest.at("versions").at("sslmeme").get<std::string>(),
          manifest.at("versions").at("libtorch").get<std::string>()};
}

/// What `made_from` makes of the manifest. Throws DataError where a value is missing or of another type.
template <class MadeFrom>
auto checked(const nlohmann::json& manifest, const fs::path& checkpoint, MadeFrom made_from) {
  try {
    return made_from(manifest);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: {}", (checkpoint / manifest_file).string(), error.what()));
  }
}

/// What an epoch was measured at under a name; nothing where it was not, or where it is no number.
std::optional<double> measured(const EpochRecord& record, const std::string& name) {
  std::optional<double> value = record.loss;
  if (name != "loss") {
    value = value_of(record.metrics, name);
    if (!value) value = value_of(record.parts, name);
  }
  if (value && std::isnan(*value)) return {};
  return value;
}

/// Gives `to` the names and shapes of `from`; tensors that fit stay.
void make_room(NamedTensors& to, const NamedTensors& from) {
  to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto& source = from[i].second;
    auto& [name, target] = to[i];
    name = from[i].first;
    if (!target.defined() || target.sizes() != source.sizes() || target.scalar_type() != source.scalar_type())
      target = torch::empty(source.sizes(), source.options().device(torch::kCPU).requires_grad(false));
  }
}

/// The same for all groups of tensors.
void make_room(TrainingState& to, const TrainingState& from) {
  to.tensors.resize(from.tensors.size());
  for (std::size_t i = 0; i < from.tensors.size(); ++i) {
    to.tensors[i].first = from.tensors[i].first;
    make_room(to.tensors[i].second, from.tensors[i].second);
  }
}

}  // namespace

std::string text_of(const Progress& progress) {
  return to_json(progress).dump();
}

Progress progress_of(const std::string& text) {
  return progress_from(nlohmann::json::parse(text));
}

Circumstances Circumstances::present() {
  return {at::get_num_threads(), SSLMEME_VERSION, TORCH_VERSION};
}

std::string Circumstances::changes_to(const Circumstances& now) const {
  std::vector<std::string> changes;
  if (threads != now.threads) changes.push_back(fmt::format("{} threads then, {} now", threads, now.threads));
  if (sslmeme != now.sslmeme) changes.push_back(fmt::format("sslmeme {} then, {} now", sslmeme, now.sslmeme));
  if (libtorch != now.libtorch) changes.push_back(fmt::format("LibTorch {} then, {} now", libtorch, now.libtorch));
  return fmt::format("{}", fmt::join(changes, "; "));
}

const NamedTensors& TrainingState::file(const std::string& name) const {
  for (const auto& [known, values] : tensors) {
    if (known == name) return values;
  }
  throw DataError(fmt::format("the checkpoint has no {}.safetensors: resume with the options it was saved with", name));
}

CheckpointStore::CheckpointStore(const fs::path& folder) : folder_{folder} {
  make_directory(folder_);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{folder_, error}) {  // left by a process that died while it wrote
    const auto& path = entry.path();
    if (path.filename().string().starts_with("step-")) remove_unfinished(path / manifest_file);
    if (!path.filename().string().starts_with("partial-")) continue;
    remove_tree(path, error);
    if (error) notes_.push_back(fmt::format("{} cannot be deleted: {}", path.string(), error.message()));
  }
}

CheckpointStore::~CheckpointStore() {
  if (writing_.valid()) writing_.wait();
}

void CheckpointStore::retain(Retention retention) {
  if (writing_.valid()) writing_.wait();  // it reads the present ones
  retention_ = std::move(retention);
}

void CheckpointStore::reserve(const TrainingState& state) {
  wait();
  make_room(copy_, state);
  writing_ = std::async(std::launch::async, [this] {
    // The system gives memory when it is first written to. Not by LibTorch, whose threads the training has.
    for (const auto& [group, tensors] : copy_.tensors) {
      for (const auto& [name, tensor] : tensors) std::memset(tensor.data_ptr(), 0, tensor.nbytes());
    }
  });
}

fs::path CheckpointStore::start(const TrainingState& state) {
  wait();
  auto target = folder_ / fmt::format("step-{:09d}", state.progress.step);
  copy_.progress = state.progress;
  copy_.config_digest = state.config_digest;
  copy_.made = state.made;
  make_room(copy_, state);
  {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < state.tensors.size(); ++i) {
      const auto& from = state.tensors[i].second;
      for (std::size_t j = 0; j < from.size(); ++j) copy_.tensors[i].second[j].second.copy_(from[j].second);
    }
  }
  writing_ = std::async(std::launch::async, [this, target] {
    write(copy_, target);
    remove_old();
  });
  return target;
}

void CheckpointStore::wait() {
  if (writing_.valid()) writing_.get();
}

std::vector<std::string> CheckpointStore::take_notes() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds{0}) != std::future_status::ready) return {};
  return std::exchange(notes_, {});
}

void CheckpointStore::write(const TrainingState& state, const fs::path& target) const {
  auto manifest = to_json(state.progress);
  if (fs::exists(target)) {  // saved at this very step already, maybe before the epoch entered the history
    auto before = read_manifest(target);
    before.update(manifest);
    write_atomically(target / manifest_file, sealed(before));
    return;
  }
  manifest["format"] = format;
  manifest["config"] = state.config_digest;
  manifest.update(to_json(state.made));
  const auto partial = folder_ / fmt::format("partial-{:09d}", state.progress.step);
  try {
    remove_tree(partial);
    make_directory(partial);
    for (const auto& [name, tensors] : state.tensors) {
      const auto file = name + ".safetensors";
      const auto digest = write_safetensors(partial / file, tensors);
      manifest["files"][file] = {{"bytes", digest.bytes}, {"crc32", hex(digest.crc32)}};
    }
    write_atomically(partial / manifest_file, sealed(manifest));
    fs::rename(partial, target);
    sync_directory(folder_);
  } catch (const fs::filesystem_error& error) {
    throw IoError(
        fmt::format("cannot save the checkpoint {}: {}; older checkpoints are intact", target.string(), error.what()));
  } catch (...) {
    std::error_code ignored;
    remove_tree(partial, ignored);
    throw;
  }
}

std::set<fs::path> CheckpointStore::kept(const std::vector<fs::path>& all) const {
  std::set<fs::path> some{all.begin(), all.begin() + std::min(std::ssize(all), std::ptrdiff_t{retention_.newest})};
  if (retention_.best.empty()) return some;
  std::optional<double> best;
  fs::path where;
  for (const auto& path : all) {
    Progress progress;
    try {
      progress = read_progress(path);
    } catch (const std::exception&) {
      continue;  // damaged: not the best of anything
    }
    if (!progress.epoch_ended()) continue;  // it has seen more than what the epoch before was measured at
    const auto value = measured(progress.history.back(), retention_.best);
    if (!value || (best && (retention_.higher_is_better ? *value < *best : *value > *best))) continue;
    best = value;
    where = path;
  }
  if (best) some.insert(where);
  return some;
}

void CheckpointStore::remove_old() {
  const auto all = checkpoints_in(folder_);
  const auto staying = kept(all);
  for (const auto& path : all) {
    if (staying.contains(path)) continue;
    const auto leaving = folder_ / ("partial-old-" + path.filename().string());  // never half a checkpoint by its name
    std::error_code error;
    fs::rename(path, leaving, error);
    if (!error) remove_tree(leaving, error);
    if (error && stuck_.insert(path).second)
      notes_.push_back(fmt::format("the old checkpoint {} cannot be deleted: {}", path.string(), error.message()));
  }
}

std::optional<TrainingState> CheckpointStore::load_newest() {
  std::vector<fs::path> damaged;
  std::string problems;
  for (const auto& path : checkpoints_in(folder_)) {
    try {
      auto state = read_checkpoint(path);
      // The run will come by their steps again.
      for (const auto& other : damaged) {
        const auto aside = folder_ / ("damaged-" + other.filename().string());
        remove_tree(aside);
        fs::rename(other, aside);
      }
      if (!damaged.empty()) {
        notes_.push_back(fmt::format("resumed from {}, the newest checkpoint that is whole{}; set aside as damaged-…",
                                     path.filename().string(), problems));
      }
      return state;
    } catch (const InvalidArgument&) {  // whole, but not for this version
      throw;
    } catch (const Error& error) {
      problems += fmt::format("; {}", error.what());
    }
    damaged.push_back(path);
  }
  if (!problems.empty()) throw DataError(fmt::format("{} has no usable checkpoint{}", folder_.string(), problems));
  return {};
}

TrainingState read_checkpoint(const fs::path& path) {
  const auto manifest = read_manifest(path);
  TrainingState state{checked(manifest, path, progress_from),
                      {},
                      manifest.value("config", ""),
                      checked(manifest, path, circumstances_from)};
  const auto files = manifest.value("files", nlohmann::json::object());
  for (const auto& [file, expected] : files.items()) {
    const auto digest = digest_of(path / fs::path{file}.filename());
    const auto bytes = expected.value("bytes", std::uint64_t{0});
    const auto crc32 = expected.value("crc32", "");
    if (digest.bytes != bytes || hex(digest.crc32) != crc32) {
      throw DataError(fmt::format("{} is damaged: {} bytes with checksum {} where {} with {} were written",
                                  (path / file).string(), digest.bytes, hex(digest.crc32), bytes, crc32));
    }
    state.tensors.emplace_back(fs::path{file}.stem().string(), read_safetensors(path / file).tensors);
  }
  return state;
}

Progress read_progress(const fs::path& path) {
  return checked(read_manifest(path), path, progress_from);
}

std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{folder, error}) {
    if (entry.path().filename().string().starts_with("step-")) found.push_back(entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace sslmeme::detail

namespace sslmeme {
namespace {

fs::path newest_checkpoint(const fs::path& run) {
  const auto checkpoints = detail::checkpoints_in(run / "checkpoints");
  if (checkpoints.empty()) throw DataError(fmt::format("{} has no checkpoint", run.string()));
  return checkpoints.front();
}

}  // namespace

std::vector<EpochRecord> read_history(const fs::path& run) {
  return detail::read_progress(newest_checkpoint(run)).history;
}

}  // namespace sslmeme
