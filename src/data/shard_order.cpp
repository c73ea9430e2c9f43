#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/tar_shards.hpp>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_shards = 100'000;

/// "000..012" as thirteen words of three digits, "train,dev" as two words.
std::vector<std::string> alternatives(std::string_view braces, const std::string& pattern) {
  std::vector<std::string> words;
  if (const auto dots = braces.find(".."); dots != std::string_view::npos) {
    const auto number = [&](std::string_view digits) {
      std::uint64_t value = 0;
      const auto* const last = digits.data() + digits.size();
      const auto [end, error] = std::from_chars(digits.data(), last, value);
      if (error != std::errc{} || end != last)
        throw InvalidArgument(fmt::format("the range {{{}}} in {} must be like {{000..012}}", braces, pattern));
      return value;
    };
    const auto from = braces.substr(0, dots), to = braces.substr(dots + 2);
    const auto first = number(from), last = number(to);
    if (first > last)
      throw InvalidArgument(
          fmt::format("the range {{{}}} in {} goes down: write {{{}..{}}}", braces, pattern, to, from));
    if (last - first >= max_shards)
      throw InvalidArgument(fmt::format("the range {{{}}} in {} has over {} files", braces, pattern, max_shards));
    // As in bash: a leading zero asks for equal lengths.
    const bool padded = (from.size() > 1 && from[0] == '0') || (to.size() > 1 && to[0] == '0');
    const auto width = padded ? std::max(from.size(), to.size()) : 0;
    for (auto value = first; value - first <= last - first; ++value)
      words.push_back(fmt::format("{:0{}}", value, width));
    return words;
  }
  while (true) {
    const auto comma = braces.find(',');
    words.emplace_back(braces.substr(0, comma));
    if (comma == std::string_view::npos) return words;
    braces.remove_prefix(comma + 1);
  }
}

}  // namespace

std::vector<fs::path> expand_shards(const std::string& pattern) {
  std::vector<std::string> names{""};
  std::string_view rest{pattern};
  while (true) {
    const auto begin = rest.find_first_of("{}");
    for (auto& name : names) name += rest.substr(0, begin);
    if (begin == std::string_view::npos) break;
    const auto end = rest.find_first_of("{}", begin + 1);
    if (rest[begin] == '}' || end == std::string_view::npos || rest[end] == '{') {
      throw InvalidArgument(
          fmt::format("the braces in {} do not match or are nested: write {{000..012}} or {{a,b}}", pattern));
    }
    const auto words = alternatives(rest.substr(begin + 1, end - begin - 1), pattern);
    if (names.size() * words.size() > max_shards)
      throw InvalidArgument(fmt::format("{} stands for over {} files", pattern, max_shards));
    std::vector<std::string> longer;
    for (const auto& name : names) {
      for (const auto& word : words) longer.push_back(name + word);
    }
    names = std::move(longer);
    rest.remove_prefix(end + 1);
  }
  return {names.begin(), names.end()};
}

std::vector<fs::path> shards_of(const std::vector<fs::path>& shards, std::int64_t rank, std::int64_t ranks) {
  if (ranks < 1 || rank < 0 || rank >= ranks)
    throw InvalidArgument(fmt::format("shards_of: rank {} of {} ranks: must be within 0 and ranks − 1", rank, ranks));
  if (std::cmp_less(shards.size(), ranks)) {
    throw InvalidArgument(
        fmt::format("shards_of: {} shards for {} ranks: pack at least one for each", shards.size(), ranks));
  }
  std::vector<fs::path> own;
  for (auto i = static_cast<std::size_t>(rank); i < shards.size(); i += static_cast<std::size_t>(ranks))
    own.push_back(shards[i]);
  return own;
}

ShardOrder::ShardOrder(std::vector<std::size_t> shard_sizes, const ShardOrderOptions& options)
    : sizes_{std::move(shard_sizes)}, options_{options} {
  const auto fail = [](const std::string& what) { throw InvalidArgument("ShardOrder: " + what); };
  if (options.window < 1) fail("window 0: must be at least 1");
  if (options.ranks < 1) fail(fmt::format("{} ranks: must be at least 1", options.ranks));
  const auto ranks = static_cast<std::size_t>(options.ranks);
  if (sizes_.size() < ranks)
    fail(fmt::format("{} shards for {} ranks: pack at least one for each", sizes_.size(), ranks));
  if (options.draws % ranks != 0)
    fail(fmt::format(".draws is {}: must divide by {} ranks, which make equally many steps", options.draws, ranks));
  std::vector<std::size_t> of_rank(ranks);
  for (std::size_t shard = 0; shard < sizes_.size(); ++shard) {
    if (sizes_[shard] == 0) fail(fmt::format("shard {} has no sample: leave it out", shard));
    starts_.push_back(shard == 0 ? 0 : starts_.back() + sizes_[shard - 1]);
    of_rank[shard % ranks] += sizes_[shard];
  }
  draws_ = options.draws > 0 ? options.draws / ranks : std::ranges::max(of_rank);
}

std::vector<std::size_t> ShardOrder::shards_of(std::int64_t rank) const {
  if (rank < 0 || rank >= options_.ranks)
    throw InvalidArgument(fmt::format("ShardOrder: rank {} of {}: count from 0", rank, options_.ranks));
  std::vector<std::size_t> own;
  for (auto i = static_cast<std::size_t>(rank); i < sizes_.size(); i += static_cast<std::size_t>(options_.ranks))
    own.push_back(i);
  return own;
}

std::size_t ShardOrder::draws(std::size_t samples) const {
  if (samples != starts_.back() + sizes_.back()) {
    throw InvalidArgument(
        fmt::format("ShardOrder: its shards have {} samples, but the dataset {}: give shard_sizes() "
                    "of the same dataset",
                    starts_.back() + sizes_.back(), samples));
  }
  return draws_ * static_cast<std::size_t>(options_.ranks);
}

std::vector<std::size_t> ShardOrder::sequence(std::int64_t rank, const SamplerEpoch& epoch) const {
  Rng rng{derive_seed({epoch.seed, static_cast<std::uint64_t>(epoch.epoch), static_cast<std::uint64_t>(rank)})};
  auto own = shards_of(rank);
  rng.shuffle(std::span{own});
  std::vector<std::size_t> positions;
  for (const auto shard : own) {
    for (std::size_t i = 0; i < sizes_[shard]; ++i) positions.push_back(starts_[shard] + i);
  }
  // The window holds what comes first in the rest; what is drawn from it makes room for the next.
  std::vector<std::size_t> window(
      positions.begin(), positions.begin() + static_cast<std::ptrdiff_t>(std::min(options_.window, positions.size())));
  std::vector<std::size_t> mixed;
  mixed.reserve(draws_);
  for (auto next = window.size(); !window.empty() && mixed.size() < draws_;) {
    auto& drawn = window[rng.below(window.size())];
    mixed.push_back(drawn);
    if (next < positions.size()) {
      drawn = positions[next++];
    } else {
      drawn = window.back();
      window.pop_back();
    }
  }
  for (std::size_t i = 0; mixed.size() < draws_; ++i) mixed.push_back(mixed[i]);
  return mixed;
}

std::vector<std::size_t> ShardOrder::order(const SamplerEpoch& epoch) const {
  draws(epoch.samples);
  if (epoch.batch_size < options_.ranks || epoch.batch_size % options_.ranks != 0) {
    throw InvalidArgument(
        fmt::format("ShardOrder: a step of {} samples does not divide by {} ranks: set .ranks as the "
                    "loader's",
                    epoch.batch_size, options_.ranks));
  }
  std::vector<std::vector<std::size_t>> sequences;
  for (std::int64_t rank = 0; rank < options_.ranks; ++rank) sequences.push_back(sequence(rank, epoch));
  const auto rows = static_cast<std::size_t>(epoch.batch_size / options_.ranks);
  std::vector<std::size_t> positions;
  positions.reserve(sequences.size() * draws_);
  for (std::size_t first = 0; first < draws_; first += rows) {
    for (const auto& own : sequences) {
      const auto part = std::span{own}.subspan(first, std::min(rows, draws_ - first));
      positions.insert(positions.end(), part.begin(), part.end());
    }
  }
  return positions;
}

}  // namespace sslmeme
