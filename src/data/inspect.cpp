#include <sslmeme/core/error.hpp>
#include <sslmeme/data/inspect.hpp>

#include "data/picture_scan.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {

namespace {

using detail::none;
using detail::PictureScan;

constexpr std::size_t max_splits = 64;  // bits of a mask

/// The value at a share of the way through, interpolated.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return {values.front(), percentile(values, 0.5), percentile(values, 0.95), values.back()};
}

/// A distinct picture: the samples order[begin … end) have its bytes.
struct Content {
  std::size_t begin = 0, end = 0;
  std::size_t first_run = 0, end_run = 0;
};

/// The samples of one content that have the same words.
struct Run {
  std::uint64_t caption = 0;
  std::uint64_t splits = 0;  ///< a bit for each split that has such a sample
  std::uint64_t known = 0;   ///< a bit for each split that has one with a near picture
};

/// Which samples have the same picture, over all splits.
class Copies {
 public:
  Copies(const PictureScan& scan, const InspectOptions& options) : scan_{scan}, splits_{scan.splits()} {
    sort_samples();
    find_exact();
    find_near(options);
  }

  bool complete() const { return complete_; }
  bool readable(std::size_t i) const { return content_[i] != none; }
  /// The first sample of split s with the picture of sample i, exact or near; none if there is none.
  std::size_t exact(std::size_t i, std::size_t s) const { return first_[content_[i] * splits_ + s]; }
  std::size_t near(std::size_t i, std::size_t s) const { return near_[content_[i] * splits_ + s]; }
  /// Whether another sample of split s has the picture, exact or near, and the words of sample i.
  bool same_caption(std::size_t i, std::size_t s) const {
    const auto& run = runs_[run_[i]];
    return run.caption != 0 && ((run.splits | run.known) >> s & 1U) != 0;
  }

 private:
  /// By picture, then by words, then as given.
  void sort_samples() {
    for (std::size_t i = 0; i < scan_.size(); ++i) {
      if (scan_[i].readable) order_.push_back(i);
    }
    std::ranges::sort(order_, {},
                      [&](std::size_t i) { return std::tuple{scan_[i].digest, scan_[i].caption->hash, i}; });
  }

  void find_exact() {
    content_.assign(scan_.size(), none);
    run_.assign(scan_.size(), none);
    for (std::size_t at = 0; at < order_.size();) {
      Content content{.begin = at, .end = at, .first_run = runs_.size()};
      const auto& digest = scan_[order_[at]].digest;
      first_.resize(first_.size() + splits_, none);
      for (; content.end < order_.size() && scan_[order_[content.end]].digest == digest; ++content.end) {
        const auto i = order_[content.end];
        const auto split = scan_.split_of(i);
        if (runs_.size() == content.first_run || runs_.back().caption != scan_[i].caption->hash)
          runs_.push_back({.caption = scan_[i].caption->hash});
        runs_.back().splits |= std::uint64_t{1} << split;
        content_[i] = contents_.size();
        run_[i] = runs_.size() - 1;
        auto& first = first_[contents_.size() * splits_ + split];
        first = std::min(first, i);
      }
      content.end_run = runs_.size();
      at = content.end;
      contents_.push_back(content);
    }
  }

  void find_near(const InspectOptions& options) {
    std::vector<PictureSignature> signatures;
    signatures.reserve(contents_.size());
    for (const auto& content : contents_) signatures.push_back(scan_[order_[content.begin]].signature);
    near_.assign(first_.size(), none);
    const auto share = [&](std::size_t a, std::size_t b) {
      for (std::size_t s = 0; s < splits_; ++s) {
        near_[a * splits_ + s] = std::min(near_[a * splits_ + s], first_[b * splits_ + s]);
        near_[b * splits_ + s] = std::min(near_[b * splits_ + s], first_[a * splits_ + s]);
      }
      share_captions(contents_[a], contents_[b]);
    };
    complete_ = for_each_near_pair(signatures, options.distance, share, options.max_comparisons);
  }

  void share_captions(const Content& a, const Content& b) {
    for (std::size_t i = a.first_run, j = b.first_run; i < a.end_run && j < b.end_run;) {
      auto &x = runs_[i], &y = runs_[j];
      if (x.caption == y.caption) {
        x.known |= y.splits;
        y.known |= x.splits;
      }
      const bool next_of_a = x.caption <= y.caption, next_of_b = y.caption <= x.caption;
      i += static_cast<std::size_t>(next_of_a);
      j += static_cast<std::size_t>(next_of_b);
    }
  }

  const PictureScan& scan_;
  std::size_t splits_;
  std::vector<std::size_t> order_;
  std::vector<Content> contents_;
  std::vector<Run> runs_;
  std::vector<std::size_t> content_, run_;  // of each sample
  std::vector<std::size_t> first_, near_;   // of each content and split: a sample
  bool complete_ = true;
};

void check(std::span<const NamedDataset> splits, const InspectOptions& options) {
  if (splits.empty() || splits.size() > max_splits) {
    throw InvalidArgument(fmt::format("inspect_data: {} splits, but it takes 1 to {}", splits.size(), max_splits));
  }
  std::unordered_set<std::string> names;
  for (const auto& split : splits) {
    if (!names.insert(split.name).second)
      throw InvalidArgument(fmt::format("inspect_data: two splits are called \"{}\": names must differ", split.name));
  }
  if (options.distance < 0 || options.distance > near_distance) {
    throw InvalidArgument(
        fmt::format("inspect_data: .distance is {}, but must be 0 to {} bits", options.distance, near_distance));
  }
  if (options.workers < 0)
    throw InvalidArgument(fmt::format("inspect_data: .workers is {}, but must be 0 or more", options.workers));
}

/// Makes the report from what was read.
class Reporter {
 public:
  Reporter(std::span<const NamedDataset> splits, const InspectOptions& options, const PictureScan& scan)
      : splits_{splits}, options_{options}, scan_{scan}, copies_{scan, options} {}

  DataReport report() const {
    DataReport report;
    report.near_complete = copies_.complete();
    for (std::size_t s = 0; s < splits_.size(); ++s) report.splits.push_back(split_report(s));
    for (std::size_t from = 0; from < splits_.size(); ++from) {
      for (std::size_t into = from + 1; into < splits_.size(); ++into) {
        if (auto found = leak(from, into); found.exact + found.near > 0) report.leaks.push_back(std::move(found));
      }
    }
    return report;
  }

 private:
  SplitReport split_report(std::size_t s) const {
    SplitReport report;
    report.name = splits_[s].name;
    report.samples = scan_.end(s) - scan_.begin(s);
    std::vector<double> widths, heights, aspects;
    for (auto i = scan_.begin(s); i < scan_.end(s); ++i) {
      const auto& facts = scan_[i];
      if (facts.label) {
        ++report.labelled;
        ++report.labels[*facts.label];
      }
      if (!facts.readable) continue;
      widths.push_back(facts.width);
      heights.push_back(facts.height);
      aspects.push_back(static_cast<double>(facts.width) / facts.height);
    }
    report.width = spread_of(std::move(widths));
    report.height = spread_of(std::move(heights));
    report.aspect = spread_of(std::move(aspects));
    report_captions(s, report);
    report_duplicates(s, report);
    report.unreadable_reasons = scan_.reasons(s);
    for (const auto& [reason, count] : report.unreadable_reasons) report.unreadable += count;
    report.unreadable_samples = scan_.unreadable(s);
    return report;
  }

  void report_captions(std::size_t s, SplitReport& report) const {
    std::unordered_set<std::uint64_t> seen;
    std::vector<double> characters, words;
    for (auto i = scan_.begin(s); i < scan_.end(s); ++i) {
      const auto& facts = scan_[i];
      if (!facts.caption) continue;
      if (facts.caption->hash == 0) {
        ++report.empty_captions;
        continue;
      }
      characters.push_back(facts.caption->characters);
      words.push_back(facts.caption->words);
      if (!seen.insert(facts.caption->hash).second) ++report.same_captions;
    }
    report.caption_characters = spread_of(std::move(characters));
    report.caption_words = spread_of(std::move(words));
  }

  void report_duplicates(std::size_t s, SplitReport& report) const {
    for (auto i = scan_.begin(s); i < scan_.end(s); ++i) {
      if (!copies_.readable(i)) continue;
      const auto exact = copies_.exact(i, s), near = copies_.near(i, s);
      const bool is_exact = exact < i;
      if (!is_exact && near > i) continue;  // none is the largest
      ++(is_exact ? report.exact_duplicates : report.near_duplicates);
      const auto first = is_exact ? exact : near;
      const auto words = scan_[i].caption->hash;  // 0 for none
      if (report.duplicates.size() < options_.listed)
        report.duplicates.push_back(pair(i, first, is_exact, words != 0 && words == scan_[first].caption->hash));
    }
  }

  Leak leak(std::size_t from, std::size_t into) const {
    Leak leak{.from = splits_[from].name, .into = splits_[into].name};
    for (auto i = scan_.begin(into); i < scan_.end(into); ++i) {
      if (!copies_.readable(i)) continue;
      const auto exact = copies_.exact(i, from), near = copies_.near(i, from);
      if (exact == none && near == none) continue;
      const bool is_exact = exact != none, same_caption = copies_.same_caption(i, from);
      ++(is_exact ? leak.exact : leak.near);
      if (same_caption) ++leak.same_caption;
      if (leak.samples.size() < options_.listed)
        leak.samples.push_back(pair(i, is_exact ? exact : near, is_exact, same_caption));
    }
    return leak;
  }

  PicturePair pair(std::size_t i, std::size_t other, bool exact, bool same_caption) const {
    const auto source = [&](std::size_t k) {
      const auto s = scan_.split_of(k);
      return splits_[s].data.source(k - scan_.begin(s));
    };
    return {scan_[i].id, scan_[other].id, source(i), source(other), exact, same_caption};
  }

  std::span<const NamedDataset> splits_;
  const InspectOptions& options_;
  const PictureScan& scan_;
  Copies copies_;
};

nlohmann::ordered_json json_of(const Spread& spread) {
  return {{"min", spread.min}, {"median", spread.median}, {"percentile_95", spread.percentile_95}, {"max", spread.max}};
}

nlohmann::ordered_json json_of(const std::vector<PicturePair>& pairs) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& pair : pairs) {
    json.push_back({{"id", pair.id},
                    {"other_id", pair.other_id},
                    {"source", pair.source},
                    {"other_source", pair.other_source},
                    {"exact", pair.exact},
                    {"same_caption", pair.same_caption}});
  }
  return json;
}

nlohmann::ordered_json json_of(const std::vector<UnreadableSample>& samples) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& sample : samples) {
    nlohmann::ordered_json item{{"position", sample.position}, {"source", sample.source}, {"reason", sample.reason}};
    if (sample.id) item["id"] = *sample.id;
    if (sample.fault) item["fault"] = name_of(*sample.fault);
    json.push_back(std::move(item));
  }
  return json;
}

nlohmann::ordered_json json_of(const SplitReport& split) {
  auto labels = nlohmann::ordered_json::object();
  for (const auto& [label, count] : split.labels) labels[std::to_string(label)] = count;
  return {{"name", split.name},
          {"samples", split.samples},
          {"labelled", split.labelled},
          {"labels", std::move(labels)},
          {"width", json_of(split.width)},
          {"height", json_of(split.height)},
          {"aspect", json_of(split.aspect)},
          {"exact_duplicates", split.exact_duplicates},
          {"near_duplicates", split.near_duplicates},
          {"duplicates", json_of(split.duplicates)},
          {"same_captions", split.same_captions},
          {"empty_captions", split.empty_captions},
          {"caption_characters", json_of(split.caption_characters)},
          {"caption_words", json_of(split.caption_words)},
          {"unreadable", split.unreadable},
          {"unreadable_reasons", split.unreadable_reasons},
          {"unreadable_samples", json_of(split.unreadable_samples)}};
}

}  // namespace

std::size_t DataReport::unreadable() const {
  return std::accumulate(splits.begin(), splits.end(), std::size_t{0},
                         [](std::size_t sum, const SplitReport& split) { return sum + split.unreadable; });
}

DataReport inspect_data(std::span<const NamedDataset> splits, const InspectOptions& options) {
  check(splits, options);
  const PictureScan scan{splits, options};
  return Reporter{splits, options, scan}.report();
}

std::string data_report_json(const DataReport& report) {
  auto splits = nlohmann::ordered_json::array();
  for (const auto& split : report.splits) splits.push_back(json_of(split));
  auto leaks = nlohmann::ordered_json::array();
  for (const auto& leak : report.leaks) {
    leaks.push_back({{"from", leak.from},
                     {"into", leak.into},
                     {"exact", leak.exact},
                     {"near", leak.near},
                     {"same_caption", leak.same_caption},
                     {"samples", json_of(leak.samples)}});
  }
  const nlohmann::ordered_json json{
      {"splits", std::move(splits)}, {"leaks", std::move(leaks)}, {"near_complete", report.near_complete}};
  // File names need not be UTF-8.
  return json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::vector<std::size_t> picture_groups(const AnyDataset& data, const InspectOptions& options) {
  const std::array<NamedDataset, 1> splits{{{"all", data}}};
  check(splits, options);
  const PictureScan scan{splits, options};
  std::vector<std::size_t> parent(scan.size());
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  const auto root = [&](std::size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  const auto join = [&](std::size_t a, std::size_t b) {
    const auto [first, second] = std::minmax({root(a), root(b)});
    parent[second] = first;
  };
  std::map<detail::Digest, std::size_t> firsts;
  std::vector<std::size_t> samples;
  std::vector<PictureSignature> signatures;
  for (std::size_t i = 0; i < scan.size(); ++i) {
    if (!scan[i].readable) continue;
    const auto [place, is_new] = firsts.try_emplace(scan[i].digest, i);
    if (!is_new) {
      join(place->second, i);
      continue;
    }
    samples.push_back(i);
    signatures.push_back(scan[i].signature);
  }
  const auto join_samples = [&](std::size_t a, std::size_t b) { join(samples[a], samples[b]); };
  if (!for_each_near_pair(signatures, options.distance, join_samples, options.max_comparisons)) {
    throw DataError(fmt::format(
        "picture_groups: so many pictures are alike that {} comparisons do not group them: raise .max_comparisons or "
        "give a smaller .distance",
        options.max_comparisons));
  }
  std::vector<std::size_t> groups(scan.size());
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = scan[i].readable ? root(i) : scan.size();
  return groups;
}

}  // namespace sslmeme
