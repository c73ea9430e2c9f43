// inspect_data: what is in a dataset before anything is trained on it: counts, sizes, captions, copies of pictures,
// what cannot be read, and what leaks from one split into another.
#pragma once

#include <sslmeme/data/dataset.hpp>
#include <sslmeme/data/perceptual_hash.hpp>
#include <sslmeme/data/quarantine.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

/// A split and its name, e.g. "train".
struct NamedDataset {
  std::string name;
  AnyDataset data;
};

struct InspectOptions {
  int workers = 2;               ///< threads that read pictures; 0: the calling thread does
  int distance = near_distance;  ///< bits in which the perceptual hashes of near pictures differ at most, 0 to 6
  std::size_t listed = 100;      ///< so many findings of a kind are listed; counts are of all
  std::uint64_t max_comparisons = 4'000'000'000;  ///< in the search for near pictures, see for_each_near_pair
  std::function<void(std::size_t done, std::size_t total)> progress = {};  ///< after each sample, one thread at a time
};

/// Of n values; all 0 where there are none. Between two values, percentiles are interpolated as NumPy does.
struct Spread {
  double min = 0, median = 0, percentile_95 = 0, max = 0;
  bool operator==(const Spread&) const = default;
};

/// Two samples with the same picture.
struct PicturePair {
  std::int64_t id = 0, other_id = 0;  ///< the later sample, and the first one that has its picture
  std::string source, other_source;
  bool exact = false;         ///< the same bytes; otherwise near, as is_near says
  bool same_caption = false;  ///< the same words too: in a split those of the first one, of a leak those of any
  bool operator==(const PicturePair&) const = default;
};

struct SplitReport {
  std::string name;
  std::size_t samples = 0, labelled = 0;
  std::map<std::int64_t, std::size_t> labels;  ///< how many samples have which
  Spread width, height, aspect;                ///< pixels; width / height

  std::size_t exact_duplicates = 0;     ///< samples whose picture has the bytes of an earlier one's
  std::size_t near_duplicates = 0;      ///< of the others, those whose picture is near an earlier one
  std::vector<PicturePair> duplicates;  ///< the first of both kinds

  std::size_t same_captions = 0;   ///< samples with the words of an earlier one; case and white space are ignored
  std::size_t empty_captions = 0;  ///< nothing but white space
  Spread caption_characters, caption_words;  ///< of the others: code points; what white space separates

  std::size_t unreadable = 0;
  std::map<std::string, std::size_t> unreadable_reasons;  ///< by name_of(PictureFault), or "other"
  std::vector<UnreadableSample> unreadable_samples;       ///< the first
};

/// Samples of one split whose picture is in another, earlier one as well.
struct Leak {
  std::string from{}, into{};             ///< what a model learns in `from`, it is asked in `into`
  std::size_t exact = 0;                  ///< samples of `into` with the bytes of a picture of `from`
  std::size_t near = 0;                   ///< of the others, those whose picture is near one of `from`
  std::size_t same_caption = 0;           ///< of both, those with the same words too: the whole meme is known
  std::vector<PicturePair> samples = {};  ///< the first; `other` is in `from`
};

struct DataReport {
  std::vector<SplitReport> splits;
  std::vector<Leak> leaks;    ///< pairs of splits that share pictures, in the order given
  bool near_complete = true;  ///< false: so many pictures are alike that not all were compared, and near counts are low

  std::size_t unreadable() const;  ///< in all splits
};

/// Decodes every picture once and reports on the splits, which are given in the order train, dev, test.
///
/// A copy is exact when the encoded files are equal, or, where a dataset has no `bytes`, the decoded pixels; equality
/// is that of 128-bit hashes. Pictures that cannot be read, for which a dataset throws DataError or IoError, are
/// counted, not fatal. Where a dataset has `bytes`, files are read a second time, for their hash. No pictures are kept,
/// but 300 to 1,000 bytes a sample. The report is the same whatever the number of
/// workers. Throws InvalidArgument for no split, more than 64, two of one name, and options out of range.
///
///   const auto report = inspect_data(std::vector<NamedDataset>{{"train", train}, {"dev", dev}});
///   if (!report.leaks.empty()) …
DataReport inspect_data(std::span<const NamedDataset> splits, const InspectOptions& options = {});

/// The report as JSON, with a key for each member of DataReport, SplitReport, Leak and PicturePair.
std::string data_report_json(const DataReport& report);

/// For each sample the position of the first one that has its picture, exactly or nearly, or is linked to it through
/// others: whoever splits a dataset keeps such groups together. data.size() for a sample that cannot be read. Throws
/// DataError where so many pictures are alike that they cannot all be compared, and as inspect_data does.
std::vector<std::size_t> picture_groups(const AnyDataset& data, const InspectOptions& options = {});

}  // namespace sslmeme
