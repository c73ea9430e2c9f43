#include "plan.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numeric>
#include <span>

namespace sslmeme {
namespace {

constexpr int known_pictures = pictures_a_pole - held_out_pictures;
constexpr int known_captions = captions_a_kind - held_out_captions;

/// A good and a bad picture, an affirming and a denying caption: four memes, two of them harmful.
struct Four {
  int family = 0;
  int good = 0;
  int bad = 0;
  int affirm = 0;
  int deny = 0;
};

template <std::size_t N>
std::array<int, N> shuffled(Rng& rng) {
  std::array<int, N> order{};
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(std::span<int>{order});
  return order;
}

/// The split of row i, column j of the table of known pictures and captions: rows share the same counts, and the step
/// of three columns from row to row leaves every caption most of its pictures in train.
Split split_of_cell(int i, int j) {
  const int diagonal = (j + 3 * i) % known_captions;
  if (diagonal < known_captions / 5) return Split::test_seen;
  return diagonal < 3 * known_captions / 10 ? Split::dev_seen : Split::train;
}

std::vector<Four> known_fours(Split split, std::uint64_t seed) {
  std::vector<Four> fours;
  for (int family = 0; family < static_cast<int>(families().size()); ++family) {
    Rng rng{derive_seed({seed, 1, static_cast<std::uint64_t>(family)})};
    const auto good = shuffled<known_pictures>(rng), bad = shuffled<known_pictures>(rng);
    const auto affirm = shuffled<known_captions>(rng), deny = shuffled<known_captions>(rng);
    for (std::size_t i = 0; i < known_pictures; ++i) {
      for (std::size_t j = 0; j < known_captions; ++j) {
        if (split_of_cell(static_cast<int>(i), static_cast<int>(j)) == split)
          fours.push_back({family, good[i], bad[i], affirm[j], deny[j]});
      }
    }
  }
  return fours;
}

std::vector<Four> held_out_fours(Split split) {
  static_assert(held_out_captions % 2 == 0, "dev_unseen and test_unseen share the held-out captions evenly");
  const int first = known_captions + (split == Split::test_unseen ? held_out_captions / 2 : 0);
  std::vector<Four> fours;
  for (int family = 0; family < static_cast<int>(families().size()); ++family) {
    for (int picture = known_pictures; picture < pictures_a_pole; ++picture) {
      for (int caption = first; caption < first + held_out_captions / 2; ++caption)
        fours.push_back({family, picture, picture, caption, caption});
    }
  }
  return fours;
}

PlannedMeme meme_of(const Four& four, Pole pole, Kind kind) {
  return {four.family,
          pole,
          pole == Pole::good ? four.good : four.bad,
          kind,
          kind == Kind::affirm ? four.affirm : four.deny,
          harmful(pole, kind)};
}

void flip_labels(std::vector<PlannedMeme>& memes, double share, Rng& rng) {
  std::vector<std::size_t> order(memes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  rng.shuffle(std::span{order});
  order.resize(static_cast<std::size_t>(std::lround(share * static_cast<double>(memes.size()))));
  for (const auto i : order) memes[i].label = 1 - memes[i].label;
}

}  // namespace

std::string_view split_name(Split split) {
  constexpr std::string_view names[] = {"train", "dev_seen", "test_seen", "dev_unseen", "test_unseen"};
  return names[static_cast<std::size_t>(split)];
}

std::vector<PlannedMeme> plan_split(Split split, int count, std::uint64_t seed, double label_noise) {
  if (count <= 0 || count % 4 != 0) {
    throw InvalidArgument(fmt::format("{} memes for {} cannot be balanced: give a positive multiple of four, e.g. {}",
                                      count, split_name(split), count <= 0 ? 4 : (count + 3LL) / 4 * 4));
  }
  if (!(label_noise >= 0 && label_noise <= 1))
    throw InvalidArgument(fmt::format("label noise {} is no share of the labels: give 0 to 1", label_noise));

  const bool unseen = split == Split::dev_unseen || split == Split::test_unseen;
  auto fours = unseen ? held_out_fours(split) : known_fours(split, seed);
  Rng rng{derive_seed({seed, 2, static_cast<std::uint64_t>(split)})};
  rng.shuffle(std::span{fours});
  std::vector<PlannedMeme> memes;
  memes.reserve(static_cast<std::size_t>(count));
  for (std::size_t i = 0; std::cmp_less(memes.size(), count); ++i) {
    for (const auto pole : {Pole::good, Pole::bad}) {
      for (const auto kind : {Kind::affirm, Kind::deny}) memes.push_back(meme_of(fours[i % fours.size()], pole, kind));
    }
  }
  rng.shuffle(std::span{memes});
  flip_labels(memes, label_noise, rng);
  return memes;
}

void check_harmful_share(double share) {
  if (!(share >= 0 && share <= 1))
    throw InvalidArgument(fmt::format("{} is no share of the unlabelled memes: give 0 to 1", share));
}

std::vector<PlannedMeme> plan_pool(int count, double harmful_share, std::uint64_t seed) {
  if (count <= 0) throw InvalidArgument(fmt::format("{} unlabelled memes: give a positive number", count));
  check_harmful_share(harmful_share);
  const auto fours = known_fours(Split::train, seed);
  const auto mean = std::llround(harmful_share * count);
  Rng rng{derive_seed({seed, 6})};
  std::vector<PlannedMeme> memes;
  memes.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto& four = fours[rng.below(fours.size())];
    const auto pole = rng.below(2) == 0 ? Pole::good : Pole::bad;
    const bool affirmed = (pole == Pole::bad) == (i < mean);
    memes.push_back(meme_of(four, pole, affirmed ? Kind::affirm : Kind::deny));
  }
  rng.shuffle(std::span{memes});
  return memes;
}

}  // namespace sslmeme
