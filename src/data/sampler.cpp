#include <sslmeme/data/sampler.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace sslmeme {

namespace {

Rng dice_of(const SamplerEpoch& epoch) {
  return Rng{derive_seed({epoch.seed, static_cast<std::uint64_t>(epoch.epoch)})};
}

void require_one_each(std::string_view sampler, std::string_view what, std::size_t given, std::size_t samples) {
  if (given == samples) return;
  throw InvalidArgument(fmt::format("{}: there are {} {}, but the dataset has {} samples: give one for each", sampler,
                                    given, what, samples));
}

}  // namespace

std::vector<std::size_t> AnySampler::order(const SamplerEpoch& epoch) const {
  auto positions = order_(epoch);
  if (const auto expected = draws(epoch.samples); positions.size() != expected) {
    throw InvalidArgument(fmt::format("the sampler gave {} positions for epoch {}, but its draws({}) are {}",
                                      positions.size(), epoch.epoch, epoch.samples, expected));
  }
  for (const auto position : positions) {
    if (position >= epoch.samples) {
      throw InvalidArgument(fmt::format("the sampler gave position {}, but the dataset has {} samples: count from 0",
                                        position, epoch.samples));
    }
  }
  return positions;
}

std::vector<std::size_t> InOrder::order(const SamplerEpoch& epoch) const {
  std::vector<std::size_t> positions(epoch.samples);
  std::iota(positions.begin(), positions.end(), std::size_t{0});
  return positions;
}

std::vector<std::size_t> Shuffled::order(const SamplerEpoch& epoch) const {
  auto positions = InOrder{}.order(epoch);
  dice_of(epoch).shuffle(std::span{positions});
  return positions;
}

Weighted::Weighted(const std::vector<double>& weights, std::size_t draws)
    : draws_{draws == 0 ? weights.size() : draws} {
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0 && std::isfinite(weights[i])))
      throw InvalidArgument(
          fmt::format("Weighted: the weight of sample {} is {}: it must be finite and at least 0", i, weights[i]));
    sums_.push_back(sum += weights[i]);
  }
  if (!(sum > 0 && std::isfinite(sum)))
    throw InvalidArgument(
        fmt::format("Weighted: the sum of {} weights is {}: it must be positive and finite", weights.size(), sum));
}

std::vector<std::size_t> Weighted::order(const SamplerEpoch& epoch) const {
  auto rng = dice_of(epoch);
  std::vector<std::size_t> positions(draws(epoch.samples));
  for (auto& position : positions) {
    // The first sum above it, which a sample of weight 0 never has.
    const auto found = std::upper_bound(sums_.begin(), sums_.end(), rng.uniform() * sums_.back());
    position = static_cast<std::size_t>(found - sums_.begin());
  }
  return positions;
}

std::size_t Weighted::draws(std::size_t samples) const {
  require_one_each("Weighted", "weights", sums_.size(), samples);
  return draws_;
}

Weighted balanced(const AnyDataset& data) {
  std::vector<std::int64_t> labels;
  std::map<std::int64_t, std::int64_t> counts;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto label = data.label(i);
    if (!label) {
      const auto source = data.source(i);
      throw InvalidArgument(fmt::format("balanced: sample {}{} has no label: leave it out or use another sampler",
                                        data.id(i), source.empty() ? "" : fmt::format(" ({})", source)));
    }
    labels.push_back(*label);
    ++counts[*label];
  }
  std::vector<double> weights;
  for (const auto label : labels) weights.push_back(1 / static_cast<double>(counts[label]));
  return Weighted{weights};
}

LengthBuckets::LengthBuckets(std::vector<std::int64_t> lengths, std::int64_t window)
    : lengths_{std::move(lengths)}, window_{window} {
  if (window < 1) throw InvalidArgument(fmt::format("LengthBuckets: window is {}: it must be at least 1", window));
}

std::vector<std::size_t> LengthBuckets::order(const SamplerEpoch& epoch) const {
  draws(epoch.samples);  // throws
  auto positions = Shuffled{}.order(epoch);
  const auto batch = static_cast<std::size_t>(epoch.batch_size), whole = positions.size() / batch;
  const auto window = std::min(static_cast<std::size_t>(window_), whole);
  for (std::size_t first = 0; first < whole; first += window) {
    const auto count = std::min(window, whole - first) * batch;
    std::ranges::stable_sort(std::span{positions}.subspan(first * batch, count), {},
                             [&](std::size_t position) { return lengths_[position]; });
  }
  std::vector<std::size_t> batches(whole);
  std::iota(batches.begin(), batches.end(), std::size_t{0});
  constexpr std::uint64_t of_batches = 1;  // other dice than those of the samples
  Rng{derive_seed({epoch.seed, static_cast<std::uint64_t>(epoch.epoch), of_batches})}.shuffle(std::span{batches});
  std::vector<std::size_t> mixed;
  mixed.reserve(positions.size());
  for (const auto i : batches) {
    const auto rows = std::span{positions}.subspan(i * batch, batch);
    mixed.insert(mixed.end(), rows.begin(), rows.end());
  }
  const auto rest = std::span{positions}.subspan(whole * batch);
  mixed.insert(mixed.end(), rest.begin(), rest.end());
  return mixed;
}

std::size_t LengthBuckets::draws(std::size_t samples) const {
  require_one_each("LengthBuckets", "lengths", lengths_.size(), samples);
  return samples;
}

std::vector<std::int64_t> text_lengths(const AnyDataset& data, const Tokenizer& tokenizer, std::int64_t max_tokens) {
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < data.size(); ++i)
    lengths.push_back(static_cast<std::int64_t>(tokenizer.encode(data.text(i), max_tokens).size()));
  return lengths;
}

}  // namespace sslmeme
