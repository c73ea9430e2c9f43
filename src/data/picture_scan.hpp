// What inspect_data keeps of each sample after reading it once.
#pragma once

#include <sslmeme/data/inspect.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::detail {

inline constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

/// 128 bits that are equal for equal bytes, and for others with probability 2⁻¹²⁸ or so: not made against an adversary.
struct Digest {
  std::uint64_t a = 0, b = 0;
  auto operator<=>(const Digest&) const = default;
};
Digest digest_of_bytes(std::span<const std::byte> bytes, std::uint64_t seed = 0);

/// The words of a caption, measured.
struct CaptionFacts {
  std::uint64_t hash = 0;  ///< of the words in lower case (ASCII), one space between; 0 if there are none
  std::uint32_t characters = 0, words = 0;
};
CaptionFacts caption_facts(std::string_view text);

struct SampleFacts {
  bool readable = false;
  std::int64_t id = 0;
  std::optional<std::int64_t> label;
  int width = 0, height = 0;
  Digest digest;
  PictureSignature signature;
  std::optional<CaptionFacts> caption;  ///< of every readable sample, and of others whose words are known
};

/// Reads all samples of all splits, and numbers them through.
class PictureScan {
 public:
  PictureScan(std::span<const NamedDataset> splits, const InspectOptions& options);

  std::size_t splits() const { return ends_.size(); }
  std::size_t size() const { return facts_.size(); }
  const SampleFacts& operator[](std::size_t i) const { return facts_[i]; }
  /// The samples of split s are those from begin(s) to end(s).
  std::size_t begin(std::size_t s) const { return s == 0 ? 0 : ends_[s - 1]; }
  std::size_t end(std::size_t s) const { return ends_[s]; }
  std::size_t split_of(std::size_t i) const;

  /// How many samples of split s could not be read, by reason, and the first of them.
  const std::map<std::string, std::size_t>& reasons(std::size_t s) const { return unreadable_[s].reasons; }
  std::vector<UnreadableSample> unreadable(std::size_t s) const;

 private:
  struct SplitUnreadable {
    std::map<std::string, std::size_t> reasons;
    std::map<std::size_t, UnreadableSample> samples;  // by position, so that workers may find them in any order
  };

  std::vector<std::size_t> ends_;
  std::vector<SampleFacts> facts_;
  std::vector<SplitUnreadable> unreadable_;
};

}  // namespace sslmeme::detail
