// Which picture meets which caption in which split: the part of made memes that makes the label need both.
#pragma once

#include "families.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace sslmeme {

enum class Split { train, dev_seen, test_seen, dev_unseen, test_unseen };
inline constexpr Split all_splits[] = {Split::train, Split::dev_seen, Split::test_seen, Split::dev_unseen,
                                       Split::test_unseen};

/// The name of a split's file without ".jsonl".
std::string_view split_name(Split split);

/// A meme before it is drawn.
struct PlannedMeme {
  int family = 0;  ///< index into families()
  Pole pole = Pole::good;
  int picture = 0;  ///< index into the pole's pictures
  Kind kind = Kind::affirm;
  int caption = 0;  ///< index into the kind's captions
  int label = 0;    ///< 1 harmful; what harmful(pole, kind) says unless label noise flipped it

  char32_t emoji() const {
    return families()[static_cast<std::size_t>(family)].pictures(pole)[static_cast<std::size_t>(picture)];
  }
  std::string_view text() const {
    return families()[static_cast<std::size_t>(family)].captions(kind)[static_cast<std::size_t>(caption)];
  }
};

/// `count` memes of a split in random order; the same seed gives the same plan.
///
/// Memes come in fours, as Kiela et al. 2020 (arXiv:2005.04790) set benign confounders: a good and a bad picture, each
/// with an affirming and a denying caption. So in every split every picture is harmful exactly as often as not, and so
/// is every caption; whoever looks at one of them alone, or remembers its training memes, stays at an AUROC of 0.5. The
/// known fours are dealt to train (7 in 10), dev_seen (1) and test_seen (2) along the diagonals of the picture ×
/// caption table, shuffled by the seed: no pair is in two of them. The unseen splits hold held-out pictures with
/// held-out captions, each split its own captions.
///
/// `label_noise` of the labels, rounded to a whole number, are flipped. Throws InvalidArgument if `count` is not a
/// positive multiple of four or `label_noise` is not in [0, 1].
std::vector<PlannedMeme> plan_split(Split split, int count, std::uint64_t seed, double label_noise = 0);

/// `count` memes as they are found before anybody chose or labelled them, in random order: the pairs of train, of which
/// `harmful_share` (rounded to a whole number) are harmful. Of the memes with any picture, and of those with any
/// caption, the same share is expected to be harmful, so one of them alone still tells nothing, but what is usual
/// beside a picture is now the harmless caption. Throws InvalidArgument if `count` is not positive and as
/// check_harmful_share() does.
std::vector<PlannedMeme> plan_pool(int count, double harmful_share, std::uint64_t seed);

/// Throws InvalidArgument unless 0 <= share <= 1.
void check_harmful_share(double share);

}  // namespace sslmeme
