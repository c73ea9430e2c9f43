// Samplers: which samples an epoch has, and in which order. AnySampler holds any of them.
#pragma once

#include <sslmeme/data/dataset.hpp>
#include <sslmeme/text/tokenizer.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

/// What an order may depend on.
struct SamplerEpoch {
  std::size_t samples = 0;      ///< of the dataset
  std::int64_t batch_size = 1;  ///< draws that make one step: those of all ranks together
  std::uint64_t seed = 0;       ///< LoaderOptions::seed
  std::int64_t epoch = 0;
};

/// `order(epoch)` gives positions in the dataset, the same whenever it is called with the same argument; a position may
/// come several times or never. It must be safe to call from any thread.
///
/// One more member is used where a type has it: `draws(samples)`, how many positions `order` gives for a dataset of so
/// many samples, which may throw InvalidArgument for one that does not fit. Without it there are as many as samples.
template <class S>
concept Sampler = std::move_constructible<S> && requires(const S& sampler, const SamplerEpoch& epoch) {
  { sampler.order(epoch) } -> std::convertible_to<std::vector<std::size_t>>;
};

/// Any sampler as a value. Copies share the sampler, which is never changed.
class AnySampler {
 public:
  /// Takes a sampler by value.
  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, AnySampler>)
  AnySampler(S sampler) {  // implicit: whoever takes an AnySampler takes every sampler
    static_assert(Sampler<S>,
                  "sslmeme: this type is no Sampler: it needs `std::vector<std::size_t> order(const SamplerEpoch&) "
                  "const`");
    if constexpr (Sampler<S>) {
      const auto shared = std::make_shared<const S>(std::move(sampler));
      order_ = [shared](const SamplerEpoch& epoch) -> std::vector<std::size_t> { return shared->order(epoch); };
      draws_ = [shared](std::size_t samples) -> std::size_t {
        if constexpr (requires { shared->draws(samples); })
          return shared->draws(samples);
        else
          return samples;
      };
    }
  }

  /// draws(epoch.samples) positions. Throws InvalidArgument if the sampler gave another number or a position outside
  /// the dataset.
  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
  std::size_t draws(std::size_t samples) const { return draws_(samples); }

 private:
  std::function<std::vector<std::size_t>(const SamplerEpoch&)> order_;
  std::function<std::size_t(std::size_t)> draws_;
};

/// The dataset's order, each epoch.
struct InOrder {
  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
};

/// Every sample once, in a new order each epoch.
struct Shuffled {
  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
};

/// Draws with replacement, each sample with a probability in proportion to its weight: torch's WeightedRandomSampler.
class Weighted {
 public:
  /// weights: one a sample, finite, at least 0 and not all 0. draws: of an epoch; 0: as many as there are weights.
  /// Throws InvalidArgument.
  explicit Weighted(const std::vector<double>& weights, std::size_t draws = 0);

  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
  std::size_t draws(std::size_t samples) const;

 private:
  std::vector<double> sums_;  // of the weights up to and including each sample's
  std::size_t draws_;
};

/// Draws with replacement in which every class comes equally often on average, as many as there are samples. Reads
/// every label. Throws InvalidArgument naming a sample that has none.
Weighted balanced(const AnyDataset& data);

/// Batches of captions of similar length, which waste fewer tokens on padding: a shuffled epoch is cut into windows,
/// each is sorted by length, and the batches are shuffled. Every sample comes once; those that fill no batch are the
/// last, and are as random as they would be without buckets.
class LengthBuckets {
 public:
  /// lengths: one a sample, in tokens or characters. window: batches that are sorted together, at least 1; more waste
  /// less, and mix less. Throws InvalidArgument.
  explicit LengthBuckets(std::vector<std::int64_t> lengths, std::int64_t window = 32);

  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
  std::size_t draws(std::size_t samples) const;

 private:
  std::vector<std::int64_t> lengths_;
  std::int64_t window_;
};

/// How many tokens the text of each sample has, cut to max_tokens: what LengthBuckets sorts by.
std::vector<std::int64_t> text_lengths(const AnyDataset& data, const Tokenizer& tokenizer, std::int64_t max_tokens);

}  // namespace sslmeme
